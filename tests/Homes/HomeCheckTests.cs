using Banking.Homes;
using Banking.Tests.Servers;
using MySqlConnector;

namespace Banking.Tests.Homes;

public sealed class HomeCheckTests : IAsyncLifetime
{
    private const string Database = "bank_home";

    private DatabaseServer server = null!;

    public async ValueTask InitializeAsync()
    {
        server = await DatabaseServer.CreateAsync(Database);
        Assert.True((await MigrateAsync()).IsGood);
    }

    public ValueTask DisposeAsync() => server.DisposeAsync();

    [Fact]
    public async Task AHomeThatIsNotWhatItMustBeIsRefusedWithASentenceThatSaysWhatToDo()
    {
        Assert.Null(await CheckAsync());

        await RefusedAsync("SET GLOBAL innodb_flush_log_at_trx_commit = 2", "SET GLOBAL innodb_flush_log_at_trx_commit = 1", "Set it to 1 on the server");
        await RefusedAsync("SET GLOBAL sql_mode = ''", "SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'", "Add STRICT_TRANS_TABLES");
        await RefusedAsync("SET GLOBAL max_allowed_packet = 1048576", "SET GLOBAL max_allowed_packet = 16777216", "Set it to at least 16777216");
        await RefusedAsync("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", "Point the connection string at the primary");
        await RefusedAsync($"ALTER TABLE {Database}.writer_mark ENGINE = MyISAM", $"ALTER TABLE {Database}.writer_mark ENGINE = InnoDB", "Convert them");
        await RefusedAsync($"UPDATE {Database}.home SET name = 'B'", $"UPDATE {Database}.home SET name = 'A'", "it carries the data of home B");
        await RefusedAsync($"UPDATE {Database}.changelog SET success = 0", $"UPDATE {Database}.changelog SET success = 1", "Run the silo's verb migrate");
        await RefusedAsync($"RENAME TABLE {Database}.home TO {Database}.home_gone", $"RENAME TABLE {Database}.home_gone TO {Database}.home", "Run the silo's verb migrate");
        if (!DatabaseServer.IsMariaDb)
        {
            await RefusedAsync("SET GLOBAL sync_binlog = 0", "SET GLOBAL sync_binlog = 1", "Set sync_binlog to 1");
        }
    }

    [Fact]
    public async Task AHomeThatMayLoseCommitsIsTakenOnlyWhenToldSo()
    {
        await server.AdministerAsync("SET GLOBAL innodb_flush_log_at_trx_commit = 0");
        Assert.NotNull(await CheckAsync());
        Assert.Null(await CheckAsync(allowRelaxed: true));
    }

    [Fact]
    public async Task TheRunTimeUserCannotChangeHistory()
    {
        await using var connection = new MySqlConnection(server.Runtime(Database));
        await connection.OpenAsync();
        foreach (var forbidden in (string[])
            ["UPDATE posting SET amount_minor = 1", "DELETE FROM posting", "TRUNCATE posting", "DROP TABLE posting", "DELETE FROM account", "ALTER TABLE posting ADD x INT", "UPDATE home SET name = 'B'", "DELETE FROM changelog"])
        {
            await using var command = new MySqlCommand(forbidden, connection);
            var refused = await Assert.ThrowsAsync<MySqlException>(() => command.ExecuteNonQueryAsync());
            Assert.Equal(MySqlErrorCode.TableAccessDenied, refused.ErrorCode);
        }
    }

    [Fact]
    public async Task MigrationsRunOnceAlsoWhenTwoRunnersStartAtOnce()
    {
        var again = await Task.WhenAll(MigrateAsync(), MigrateAsync(), MigrateAsync());
        Assert.All(again, outcome => Assert.True(outcome.IsGood, outcome.Line));
        Assert.All(again, outcome => Assert.Contains(" 0 scripts applied", outcome.Line, StringComparison.Ordinal));

        await using var fresh = await DatabaseServer.CreateAsync(Database);
        var first = await Task.WhenAll(MigrateAsync(fresh), MigrateAsync(fresh));
        Assert.All(first, outcome => Assert.True(outcome.IsGood, outcome.Line));
        Assert.Contains(first, outcome => outcome.Line.Contains(" 0 scripts applied", StringComparison.Ordinal));
    }

    [Fact]
    public async Task AMigrationIsRefusedWhileAnotherOneHasTheLock()
    {
        await using var other = new MySqlConnection(server.Schema(Database));
        await other.OpenAsync();
        await using var locking = new MySqlCommand("SELECT GET_LOCK('banking-migration', 0)", other);
        await locking.ExecuteScalarAsync();
        var (line, isGood) = await Migration.MigrateAsync("A", "home", server.Schema(Database), server.Runtime(Database), lockSeconds: 0);
        Assert.False(isGood);
        Assert.Contains("another migration", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AMigrationDoesNotTakeOverAnotherHomesDatabase()
    {
        var taken = await Migration.MigrateAsync("B", "home", server.Schema(Database), server.Runtime(Database));
        Assert.False(taken.IsGood);
        Assert.Contains("carries home A", taken.Line, StringComparison.Ordinal);
    }

    private Task<(string Line, bool IsGood)> MigrateAsync(DatabaseServer? other = null) =>
        Migration.MigrateAsync("A", "home", (other ?? server).Schema(Database), (other ?? server).Runtime(Database));

    private async Task<string?> CheckAsync(bool allowRelaxed = false)
    {
        await using var connection = new MySqlConnection(server.Runtime(Database));
        await connection.OpenAsync();
        return await HomeCheck.RunAsync(connection, "A", allowRelaxed, TestContext.Current.CancellationToken);
    }

    private async Task RefusedAsync(string damage, string repair, string expected)
    {
        await server.AdministerAsync(damage);
        var found = await CheckAsync();
        Assert.NotNull(found);
        Assert.Contains(expected, found, StringComparison.Ordinal);
        await server.AdministerAsync(repair);
        Assert.Null(await CheckAsync());
    }
}
