using System.Diagnostics;
using Banking.Homes;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using Orleans.Core.Internal;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Banking.Tests.Servers;

/// <summary>
/// A whole bank on real servers: homes A and B, bank_system, and silos as <c>./bank up</c> runs them, in this process or, where they
/// are to be killed, in processes of their own behind an Orleans client.
/// </summary>
internal sealed class Bank : IAsyncDisposable
{
    /// <summary>After all silos died at once, new ones wait until the old entries are stale.</summary>
    private static readonly TimeSpan JoinTimeMax = TimeSpan.FromSeconds(45);

    private readonly List<IHost> silos = [];
    private readonly List<SiloProcess> processes = [];
    private readonly Dictionary<string, string> settings = [];
    private IHost? client;
    private int started;

    private Bank(DatabaseServer a, DatabaseServer b, DatabaseServer system) => (A, B, System) = (a, b, system);

    public DatabaseServer A { get; }

    public DatabaseServer B { get; }

    public DatabaseServer System { get; }

    public IReadOnlyList<IHost> Silos => silos;

    /// <summary>The settings that a silo or front door of this bank needs.</summary>
    public IReadOnlyDictionary<string, string> Settings => settings;

    /// <summary>The silos that run as processes of their own, in the order of their start; those that died too.</summary>
    public IReadOnlyList<SiloProcess> Processes => processes;

    public IGrainFactory Grains => GrainsOf(0);

    public static async Task<Bank> StartAsync(int silos = 1, string[]? argumentsOfA = null)
    {
        var servers = await Task.WhenAll(DatabaseServer.CreateAsync("bank_home", argumentsOfA ?? []), DatabaseServer.CreateAsync("bank_home"), DatabaseServer.CreateAsync("bank_system"));
        var bank = new Bank(servers[0], servers[1], servers[2]);
        try
        {
            bank.settings["Homes:A:ConnectionString"] = bank.A.Runtime("bank_home");
            bank.settings["Homes:B:ConnectionString"] = bank.B.Runtime("bank_home");
            bank.settings["ConnectionStrings:System"] = bank.System.Runtime("bank_system") + ";Pooling=true;ConnectionTimeout=2";
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
                ["Silo:Name"] = $"silo-{++started}",
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

    /// <summary>Starts a silo as a process of its own, and with the first one the client that talks to them.</summary>
    public async Task<SiloProcess> AddProcessAsync(params string[] arguments)
    {
        var silo = await SiloProcess.StartAsync($"silo-{Interlocked.Increment(ref started)}", settings, arguments);
        lock (processes)
        {
            processes.Add(silo);
        }

        if (client is null)
        {
            client = BuildClient(settings["ConnectionStrings:System"]);
            await client.StartAsync();
        }

        var clock = Stopwatch.StartNew();
        while (!Equals(await System.QueryAsync("bank_system", $"SELECT COUNT(*) FROM OrleansMembershipTable WHERE Port = {silo.Port} AND Status = {(int)SiloStatus.Active}"), 1L))
        {
            Assert.True(clock.Elapsed < JoinTimeMax && !silo.HasExited, $"{silo.Name} did not join the cluster: {silo.Log}");
            await Task.Delay(50);
        }

        return silo;
    }

    /// <summary>Proves the ledger from SQL. A test clock that runs fast keeps the wait for half-seen transfers short.</summary>
    public Task<LedgerVerifier.Report> VerifyAsync(TimeProvider? time = null) =>
        new LedgerVerifier(
            new Dictionary<string, string> { ["A"] = A.Runtime("bank_home"), ["B"] = B.Runtime("bank_home") }, time ?? TimeProvider.System).RunAsync();

    /// <summary>The account as its grain shows it.</summary>
    public async Task<Account> GetAsync(AccountNumber number, int through = 0) =>
        await GrainsOf(through).GetGrain<IAccountGrain>(number.Text).GetAccount()
        ?? throw new InvalidOperationException($"There is no account {number}.");

    /// <summary>Moves an account's activation to a silo of choice.</summary>
    public async Task ActivateOnAsync(AccountNumber number, SiloProcess silo)
    {
        var target = (await Hosts()).Single(host => host.Endpoint.Port == silo.Port);
        var grain = (IAddressable)Grains.GetGrain<IAccountGrain>(number.Text);
        for (var attempt = 0; ; attempt++)
        {
            await GetAsync(number);
            var found = await Grains.GetGrain<IManagementGrain>(0).GetActivationAddress(grain);
            if (target.Equals(found))
            {
                return;
            }

            Assert.True(attempt < 100, $"{number} stays on {found}, it should go to {target}.");
            RequestContext.Set(IPlacementDirector.PlacementHintKey, target);
            await grain.AsReference<IGrainManagementExtension>().MigrateOnIdle();
            RequestContext.Clear();
            await Task.Delay(50);
        }
    }

    public DatabaseServer ServerOf(AccountNumber number) => number.Home == "A" ? A : B;

    /// <summary>Opens an account and fails the test if that is refused.</summary>
    public Task<AccountNumber> OpenAsync(string home, AccountKind kind, string holder = "holder", string currency = "EUR", long overdraftMinor = 0) =>
        OpenAsync(home, new AccountOpening("tests", Guid.NewGuid().ToString("N"), holder, Currency.Parse(currency), kind, overdraftMinor));

    /// <summary>Opens an account as a careful client does: again with the same key while the outcome is not known.</summary>
    public async Task<AccountNumber> OpenAsync(string home, AccountOpening opening, int through = 0)
    {
        for (var attempt = 0; ; attempt++)
        {
            var answer = await GrainsOf(through).GetGrain<IHomeGrain>(home).OpenAccount(opening);
            if (answer.IsValue)
            {
                return answer.Value.Account.Number;
            }

            Assert.True(answer.Refusal!.Code == Code.RequestInProgress && attempt < 50, answer.Refusal.Detail);
            await Task.Delay(100);
        }
    }

    /// <summary>Moves money and gives the outcome, whatever it is.</summary>
    public Task<TransferOutcome> TransferAsync(AccountNumber from, AccountNumber to, long minor, string? key = null, string currency = "EUR", int through = 0) =>
        GrainsOf(through).GetGrain<ITransferGrain>(from.Text)
            .Transfer(new TransferOrder(key ?? Guid.NewGuid().ToString("N"), to, new Money(minor, Currency.Parse(currency)), "tests"));

    /// <summary>How many rows have pending states or commit records, over both homes.</summary>
    public async Task<long> CountUnsettledAsync()
    {
        const string unsettled = "SELECT (SELECT COUNT(*) FROM pending_state) + (SELECT COUNT(*) FROM account WHERE unsettled_since IS NOT NULL)";
        return (long)(await A.QueryAsync("bank_home", unsettled))! + (long)(await B.QueryAsync("bank_home", unsettled))!;
    }

    /// <summary>What is under way in both homes, and what the silos said last: for a test that failed.</summary>
    public async Task<string> DescribeAsync()
    {
        var text = new System.Text.StringBuilder();
        foreach (var (name, server) in ((string, DatabaseServer)[])[("A", A), ("B", B)])
        {
            await server.ReadAsync("bank_home", "SELECT number, version, fence, unsettled_since, commit_records FROM account WHERE unsettled_since IS NOT NULL", row =>
                text.AppendLine(global::System.Globalization.CultureInfo.InvariantCulture, $"{name} account {row[0]} v{row[1]} f{row[2]} since {row[3]} records {row[4]}"));
            await server.ReadAsync("bank_home", "SELECT state_key, sequence, HEX(transaction_id), manager FROM pending_state", row =>
                text.AppendLine(global::System.Globalization.CultureInfo.InvariantCulture, $"{name} pending {row[0]} {row[1]} {row[2]} of {row[3]}"));
            await server.ReadAsync("bank_home", "SELECT id, status FROM transfer WHERE status = 'prepared'", row =>
                text.AppendLine(global::System.Globalization.CultureInfo.InvariantCulture, $"{name} prepared {row[0]}"));
            await server.ReadAsync("bank_home", "SELECT account, HEX(transaction_id), cancelled_at FROM cancelled_transaction ORDER BY cancelled_at DESC LIMIT 20", row =>
                text.AppendLine(global::System.Globalization.CultureInfo.InvariantCulture, $"{name} cancelled {row[0]} {row[1]} {row[2]}"));
        }

        foreach (var silo in processes)
        {
            text.AppendLine(global::System.Globalization.CultureInfo.InvariantCulture, $"--- {silo.Name} {(silo.HasExited ? "gone" : "runs")}").AppendLine(silo.Log is { Length: > 200_000 } log ? log[^200_000..] : silo.Log);
        }

        return text.ToString();
    }

    /// <summary>Waits until nothing is under way; gives how long that took, or fails the test with what is left.</summary>
    public async Task<TimeSpan> UntilSettledAsync(TimeSpan most)
    {
        var clock = Stopwatch.StartNew();
        while (await CountUnsettledAsync() > 0)
        {
            if (clock.Elapsed > most)
            {
                Assert.Fail($"Unsettled after {most.TotalSeconds} s: {await DescribeAsync()}");
            }

            await Task.Delay(50);
        }

        return clock.Elapsed;
    }

    public async ValueTask DisposeAsync()
    {
        if (client is not null)
        {
            using var stopClient = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            await client.StopAsync(stopClient.Token);
            client.Dispose();
        }

        foreach (var process in processes)
        {
            await process.DisposeAsync();
        }

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

    private async Task<IEnumerable<SiloAddress>> Hosts() => (await Grains.GetGrain<IManagementGrain>(0).GetHosts(onlyActive: true)).Keys;

    private IGrainFactory GrainsOf(int silo) => (client ?? silos[silo]).Services.GetRequiredService<IGrainFactory>();

    /// <summary>A trusted back end: an Orleans client that finds the silos in bank_system.</summary>
    private static IHost BuildClient(string system)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.SetMinimumLevel(LogLevel.Critical);
        builder.UseOrleansClient(orleans => orleans
            .UseAdoNetClustering(clustering => (clustering.Invariant, clustering.ConnectionString) = (BankingSilo.Invariant, system))
            .UseTransactions()
            .Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) = ("bank", "bank"))
            .Configure<GatewayOptions>(gateways => gateways.GatewayListRefreshPeriod = TimeSpan.FromSeconds(1))
            .Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = TimeSpan.FromSeconds(11)));
        return builder.Build();
    }
}
