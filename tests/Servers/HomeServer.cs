using Banking.Homes;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using MySqlConnector;
using Orleans.Configuration;
using Orleans.Runtime;
using Orleans.Transactions;

namespace Banking.Tests.Servers;

/// <summary>
/// Home A on a server of its own, without a bank around it. Tests make as many silos' view of it as they need: two of them are two
/// silos with the same grain.
/// </summary>
public sealed class HomeServer : IAsyncLifetime
{
    private const string Database = "bank_home";

    private readonly IHost orleans = MakeClient();
    private readonly ServiceProvider metrics = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private DatabaseServer server = null!;
    private int keys;

    internal DatabaseServer Server => server;

    internal string Connection => server.Runtime(Database);

    /// <summary>Makes references of grains; nothing is ever sent to them.</summary>
    internal IGrainFactory Grains => orleans.Services.GetRequiredService<IGrainFactory>();

    public async ValueTask InitializeAsync()
    {
        server = await DatabaseServer.CreateAsync(Database);
        Assert.True((await Migration.MigrateAsync("A", "home", server.Schema(Database), server.Runtime(Database))).IsGood);
    }

    public async ValueTask DisposeAsync()
    {
        await server.DisposeAsync();
        await metrics.DisposeAsync();
        orleans.Dispose();
    }

    /// <summary>The homes as one silo has them; the caller disposes it.</summary>
    internal async Task<HomeRegistry> StartSiloAsync(HomeSeams? seams = null, FaultProxy? proxy = null)
    {
        var options = new HomesOptions { Homes = { ["A"] = new HomeOptions { ConnectionString = proxy?.Through(Connection) ?? Connection } } };
        var silo = new HomeRegistry(
            Options.Create(options), Options.Create(new SiloOptions { SiloName = $"silo-{Interlocked.Increment(ref keys)}" }),
            new HomeInstruments(metrics.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>()), NullLoggerFactory.Instance, seams);
        await silo.StartingAsync(TestContext.Current.CancellationToken);
        return silo;
    }

    /// <summary>The grain key of a state that no other test has.</summary>
    internal string NewKey() => $"A-{Interlocked.Increment(ref keys)}";

    /// <summary>The number of an account that no other test has.</summary>
    internal AccountNumber NewAccount(AccountKind kind = AccountKind.Customer) => AccountNumber.Create("A", kind, Interlocked.Increment(ref keys));

    internal ParticipantId Participant(string grainType, string state, string key) =>
        new(state, (GrainReference)Grains.GetGrain(GrainId.Create(grainType, key)), ParticipantId.Role.Resource | ParticipantId.Role.Manager);

    /// <summary>The first column of the first row.</summary>
    internal Task<object?> QueryAsync(string sql) => server.QueryAsync(Database, sql);

    /// <summary>A transaction of somebody else on this server, with what it has locked, until it is disposed.</summary>
    internal async Task<MySqlConnection> LockAsync(string sql)
    {
        var connection = new MySqlConnection(server.Schema(Database));
        await connection.OpenAsync();
        await using var command = new MySqlCommand("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION; " + sql, connection);
        await command.ExecuteNonQueryAsync();
        return connection;
    }

    internal static IHost MakeClient()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleansClient(client => client.UseLocalhostClustering());
        return builder.Build();
    }
}
