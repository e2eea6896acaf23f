using Banking.Homes;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Banking.Tests.Servers;

/// <summary>A whole bank on real servers: homes A and B, bank_system, and silos in this process, as <c>./bank up</c> runs them.</summary>
internal sealed class Bank : IAsyncDisposable
{
    private readonly List<IHost> silos = [];
    private readonly Dictionary<string, string> settings = [];

    private Bank(DatabaseServer a, DatabaseServer b, DatabaseServer system) => (A, B, System) = (a, b, system);

    public DatabaseServer A { get; }

    public DatabaseServer B { get; }

    public DatabaseServer System { get; }

    public IReadOnlyList<IHost> Silos => silos;

    /// <summary>The settings that a silo or front door of this bank needs.</summary>
    public IReadOnlyDictionary<string, string> Settings => settings;

    public IGrainFactory Grains => silos[0].Services.GetRequiredService<IGrainFactory>();

    public static async Task<Bank> StartAsync(int silos = 1)
    {
        var servers = await Task.WhenAll(DatabaseServer.CreateAsync("bank_home"), DatabaseServer.CreateAsync("bank_home"), DatabaseServer.CreateAsync("bank_system"));
        var bank = new Bank(servers[0], servers[1], servers[2]);
        try
        {
            bank.settings["Homes:A:ConnectionString"] = bank.A.Runtime("bank_home");
            bank.settings["Homes:B:ConnectionString"] = bank.B.Runtime("bank_home");
            bank.settings["ConnectionStrings:System"] = bank.System.Runtime("bank_system") + ";Pooling=true";
            await bank.MigrateAsync();
            for (var index = 0; index < silos; index++)
            {
                await bank.AddSiloAsync();
            }

            return bank;
        }
        catch
        {
            await bank.DisposeAsync();
            throw;
        }
    }

    public async Task MigrateAsync()
    {
        var outcomes = await Task.WhenAll(
            Migration.MigrateAsync("A", "home", A.Schema("bank_home"), A.Runtime("bank_home")),
            Migration.MigrateAsync("B", "home", B.Schema("bank_home"), B.Runtime("bank_home")),
            Migration.MigrateAsync("bank_system", "system", System.Schema("bank_system"), System.Runtime("bank_system")));
        Assert.All(outcomes, outcome => Assert.True(outcome.IsGood, outcome.Line));
    }

    public async Task<IHost> AddSiloAsync(Action<HostApplicationBuilder>? configure = null)
    {
        var silo = BankingSilo.Build([], builder =>
        {
            builder.Configuration.AddInMemoryCollection(settings!);
            builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
            {
                ["Silo:Name"] = $"silo-{silos.Count + 1}",
                ["Silo:Port"] = $"{DatabaseServer.FreePort()}",
                ["Silo:GatewayPort"] = $"{DatabaseServer.FreePort()}",
                ["Serilog:MinimumLevel:Default"] = "Warning",
                ["Serilog:MinimumLevel:Override:Orleans.Transactions"] = Environment.GetEnvironmentVariable("BANK_TEST_TX_LEVEL") ?? "Error",
                ["Serilog:MinimumLevel:Override:Orleans"] = Environment.GetEnvironmentVariable("BANK_TEST_ORLEANS_LEVEL") ?? "Error",
            });
            configure?.Invoke(builder);
        });
        await silo.StartAsync();
        silos.Add(silo);
        return silo;
    }

    /// <summary>Proves the ledger from SQL. A test clock that runs fast keeps the wait for half-seen transfers short.</summary>
    public Task<LedgerVerifier.Report> VerifyAsync(TimeProvider? time = null) =>
        new LedgerVerifier(
            new Dictionary<string, string> { ["A"] = A.Runtime("bank_home"), ["B"] = B.Runtime("bank_home") }, time ?? TimeProvider.System).RunAsync();

    /// <summary>The account as its grain shows it.</summary>
    public async Task<Account> GetAsync(AccountNumber number, int through = 0) =>
        await silos[through].Services.GetRequiredService<IGrainFactory>().GetGrain<IAccountGrain>(number.Text).GetAccount()
        ?? throw new InvalidOperationException($"There is no account {number}.");

    public DatabaseServer ServerOf(AccountNumber number) => number.Home == "A" ? A : B;

    /// <summary>Opens an account and fails the test if that is refused.</summary>
    public async Task<AccountNumber> OpenAsync(string home, AccountKind kind, string holder = "holder", string currency = "EUR", long overdraftMinor = 0)
    {
        var opening = new AccountOpening("tests", Guid.NewGuid().ToString("N"), holder, Currency.Parse(currency), kind, overdraftMinor);
        var answer = await Grains.GetGrain<IHomeGrain>(home).OpenAccount(opening);
        Assert.True(answer.IsValue, answer.Refusal?.Detail);
        return answer.Value.Account.Number;
    }

    /// <summary>Moves money and gives the outcome, whatever it is.</summary>
    public Task<TransferOutcome> TransferAsync(AccountNumber from, AccountNumber to, long minor, string? key = null, string currency = "EUR", int through = 0) =>
        silos[through].Services.GetRequiredService<IGrainFactory>().GetGrain<ITransferGrain>(from.Text)
            .Transfer(new TransferOrder(key ?? Guid.NewGuid().ToString("N"), to, new Money(minor, Currency.Parse(currency)), "tests"));

    public async ValueTask DisposeAsync()
    {
        foreach (var silo in silos)
        {
            using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            await silo.StopAsync(stop.Token);
            silo.Dispose();
        }

        await A.DisposeAsync();
        await B.DisposeAsync();
        await System.DisposeAsync();
    }
}
