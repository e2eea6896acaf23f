using Banking.Accounts;
using Banking.Homes;
using Banking.Tests.Servers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using MySqlConnector;

namespace Banking.Tests.Homes;

public sealed class HomeWriterTests : IAsyncLifetime
{
    private const string Database = "bank_home";

    private readonly ServiceProvider services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private DatabaseServer server = null!;
    private Home home = null!;

    public async ValueTask InitializeAsync()
    {
        server = await DatabaseServer.CreateAsync(Database);
        Assert.True((await Migration.MigrateAsync("A", "home", server.Schema(Database), server.Runtime(Database))).IsGood);
        var instruments = new HomeInstruments(services.GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>());
        home = new Home("A", new HomeOptions { ConnectionString = server.Runtime(Database) }, instruments, "tests", NullLoggerFactory.Instance);
        await home.StartAsync(TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await home.DisposeAsync();
        await services.DisposeAsync();
        await server.DisposeAsync();
    }

    [Fact]
    public async Task AWriteThatBreaksInAnUnexpectedWayDoesNotStopTheWriter()
    {
        var row = new object?[AccountTable.Instance.ColumnCount];
        Array.Fill(row, new object()); // the driver cannot send it, and says so with an exception that is not its own
        var broken = new StoreOperation(AccountTable.Instance, "A-CUS-BROKEN", row, 0, 0, Guid.NewGuid());
        await Assert.ThrowsAsync<HomeUnavailableException>(() => home.Writer.StoreAsync(broken).WaitAsync(TimeSpan.FromSeconds(20)));

        await UntilAvailableAsync();
        var load = await home.Writer.LoadAsync(AccountTable.Instance, "A-CUS-ABSENT").WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Null(load.Row);
    }

    [Fact]
    public async Task ATransactionIsFoundAmongTheManyRecentPostingsOfAHotManager()
    {
        const int postings = 60_000;
        const string account = "A-INT-000000000001-00";
        await server.QueryAsync(
            Database,
            "INSERT INTO posting (account, version, kind, transfer_id, amount_minor, balance_after_minor, posted_at, hash, transaction_id) " +
            $"SELECT '{account}', n, 'transfer', 'x', 1, n, UTC_TIMESTAMP(6) - INTERVAL 60 SECOND + INTERVAL n MICROSECOND, REPEAT('h', 32), UNHEX(LPAD(HEX(n), 32, '0')) FROM " +
            "(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n FROM " +
            string.Join(", ", "abcde".Select(letter => $"(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9) {letter}")) +
            $") numbers WHERE n <= {postings}");
        var manager = new ManagerReference($"account/{account}", "account", 3);

        foreach (var (number, expected) in new[] { (1, true), (30_000, true), (postings, true), (postings + 1, false) })
        {
            var transaction = new Guid(Convert.FromHexString(number.ToString("X32", System.Globalization.CultureInfo.InvariantCulture)), bigEndian: true);
            Assert.NotEqual(expected, await CancelledTransactions.TryAddAsync(home, manager, transaction, DateTime.UtcNow));
        }
    }

    [Fact]
    public async Task ASlowListDoesNotOpenTheCircuitOfItsHome()
    {
        await using var blocker = new MySqlConnection(server.Schema(Database));
        await blocker.OpenAsync();
        await using var locking = new MySqlCommand("LOCK TABLES posting WRITE", blocker);
        await locking.ExecuteNonQueryAsync();
        for (var count = 0; count < 3; count++)
        {
            await Assert.ThrowsAsync<HomeUnavailableException>(() => LedgerQueries.PostingsAsync(home, "A-CUS-ANY", 1, new PageRequest()));
            Assert.True(home.IsAvailable);
        }
    }

    private async Task UntilAvailableAsync()
    {
        for (var attempt = 0; !home.IsAvailable && attempt < 100; attempt++)
        {
            await Task.Delay(50);
        }

        Assert.True(home.IsAvailable);
    }
}
