using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using MySqlConnector;

namespace Banking.Tests.Servers;

/// <summary>
/// A private database server of the kind that users run: the one named by BANK_MYSQLD, else the one on PATH. It lives in a
/// folder of its own, listens on loopback, and can be killed, paused and started again. Only processes that were started
/// here are ever stopped, by their handle.
/// </summary>
internal sealed class DatabaseServer : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeMax = TimeSpan.FromSeconds(60);

    private readonly string folder;
    private readonly string[] extraArguments;
    private Process? process;

    private DatabaseServer(string folder, int port, string[] extraArguments) => (this.folder, Port, this.extraArguments) = (folder, port, extraArguments);

    public static string Program { get; } = FindProgram();

    public static bool IsMariaDb { get; } = RunToEnd(Program, "--version").Contains("MariaDB", StringComparison.Ordinal);

    public int Port { get; }

    public int ProcessId => process?.Id ?? throw new InvalidOperationException("The server is not running.");

    /// <summary>Makes a new server with a database and its two users, and starts it.</summary>
    public static async Task<DatabaseServer> CreateAsync(string database, params string[] extraArguments)
    {
        var folder = Directory.CreateTempSubdirectory("bank-db-").FullName;
        var server = new DatabaseServer(folder, FreePort(), extraArguments);
        try
        {
            await File.WriteAllTextAsync(Path.Combine(folder, "init.sql"), $"""
                CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4;
                CREATE USER IF NOT EXISTS 'bank_schema'@'127.0.0.1' IDENTIFIED BY 'schema';
                CREATE USER IF NOT EXISTS 'bank_runtime'@'127.0.0.1' IDENTIFIED BY 'runtime';
                GRANT ALL PRIVILEGES ON {database}.* TO 'bank_schema'@'127.0.0.1' WITH GRANT OPTION;
                """);
            await server.InitializeAsync();
            await server.StartAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public string Schema(string database) => Connection(database, "bank_schema", "schema");

    public string Runtime(string database) => Connection(database, "bank_runtime", "runtime");

    /// <summary>Starts the server again on its data and port.</summary>
    public async Task StartAsync()
    {
        string[] common =
        [
            "--no-defaults", $"--datadir={Path.Combine(folder, "data")}", $"--tmpdir={folder}", $"--socket={Path.Combine(folder, "s.sock")}", $"--pid-file={Path.Combine(folder, "pid")}",
            $"--port={Port}", "--bind-address=127.0.0.1", "--skip-name-resolve", $"--init-file={Path.Combine(folder, "init.sql")}",
            "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1", "--transaction-isolation=READ-COMMITTED", "--max-connections=300",
            "--innodb-buffer-pool-size=128M", "--character-set-server=utf8mb4", "--default-time-zone=+00:00",
            "--sql-mode=STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
            IsMariaDb ? "--innodb-log-file-size=128M" : "--innodb-redo-log-capacity=256M",
            .. IsMariaDb ? Array.Empty<string>() : ["--performance-schema=OFF"],
            .. RunAsRoot, .. extraArguments,
        ];
        process = Start(Program, common);
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                await using var connection = new MySqlConnection(Connection("", "bank_schema", "schema"));
                await connection.OpenAsync();
                return;
            }
            catch (MySqlException) when (Stopwatch.GetElapsedTime(started) < StartTimeMax && !process.HasExited)
            {
                await Task.Delay(50);
            }
            catch (MySqlException exception)
            {
                throw new InvalidOperationException($"The database server did not start: {await File.ReadAllTextAsync(Path.Combine(folder, "log"))}", exception);
            }
        }
    }

    /// <summary>A server may end itself when it cannot write; then somebody starts it again.</summary>
    public async Task StartAgainIfGoneAsync()
    {
        if (process is null or { HasExited: true })
        {
            await StartAsync();
        }
    }

    /// <summary>SIGKILL: what a crash of the server looks like to everybody.</summary>
    public async Task KillAsync()
    {
        if (process is { HasExited: false })
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }
    }

    /// <summary>SIGSTOP and SIGCONT: a server that hangs.</summary>
    public void Pause() => Signal("STOP");

    public void Continue() => Signal("CONT");

    /// <summary>Runs statements as the server's administrator, through its socket, and gives the first column of the first row.</summary>
    public async Task<object?> AdministerAsync(string sql)
    {
        await using var connection = new MySqlConnection($"Server={Path.Combine(folder, "s.sock")};ConnectionProtocol=Unix;User ID=root;Pooling=false");
        await connection.OpenAsync();
        await using var command = new MySqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    /// <summary>Runs statements as the schema's owner, and gives the first column of the first row.</summary>
    public async Task<object?> QueryAsync(string database, string sql)
    {
        await using var connection = new MySqlConnection(Schema(database));
        await connection.OpenAsync();
        await using var command = new MySqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    /// <summary>Reads rows as the schema's owner.</summary>
    public async Task ReadAsync(string database, string sql, Action<MySqlDataReader> read)
    {
        await using var connection = new MySqlConnection(Schema(database));
        await connection.OpenAsync();
        await using var command = new MySqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        while (await reader.ReadAsync())
        {
            read(reader);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        process?.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static string[] RunAsRoot => Environment.UserName == "root" ? ["--user=root"] : [];

    private static string FindProgram()
    {
        if (Environment.GetEnvironmentVariable("BANK_MYSQLD") is { Length: > 0 } named)
        {
            return named;
        }

        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Append("/usr/sbin");
        return folders.SelectMany(folder => (string[])[Path.Combine(folder, "mysqld"), Path.Combine(folder, "mariadbd")]).FirstOrDefault(File.Exists)
            ?? throw new InvalidOperationException("Expected a database server: install mariadb-server-core or set BANK_MYSQLD. ./bank test does that.");
    }

    private async Task InitializeAsync()
    {
        var data = Path.Combine(folder, "data");
        Directory.CreateDirectory(data);
        var initialize = IsMariaDb
            ? Start("mariadb-install-db", ["--no-defaults", $"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db", .. RunAsRoot])
            : Start(Program, ["--no-defaults", "--initialize-insecure", $"--datadir={data}", .. RunAsRoot]);
        await initialize.WaitForExitAsync();
        if (initialize.ExitCode != 0)
        {
            throw new InvalidOperationException($"The database server could not be initialised: {await File.ReadAllTextAsync(Path.Combine(folder, "log"))}");
        }
    }

    private Process Start(string program, IEnumerable<string> arguments)
    {
        // A shell redirects the output to a file, so that no pipe of ours can fill up, and becomes the server by exec.
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true };
        start.Environment["TMPDIR"] = folder; // a MariaDB that starts deletes temporary tables of others in a shared folder
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("exec \"$0\" \"$@\" >>" + Path.Combine(folder, "log") + " 2>&1 </dev/null");
        start.ArgumentList.Add(program);
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start) ?? throw new InvalidOperationException($"Could not start {program}.");
    }

    private static string RunToEnd(string program, string argument)
    {
        using var run = Process.Start(new ProcessStartInfo(program, argument) { RedirectStandardOutput = true })!;
        var text = run.StandardOutput.ReadToEnd();
        run.WaitForExit();
        return text;
    }

    private void Signal(string name)
    {
        using var kill = Process.Start("kill", $"-{name} {ProcessId.ToString(CultureInfo.InvariantCulture)}");
        kill.WaitForExit();
    }

    private string Connection(string database, string user, string password) =>
        $"Server=127.0.0.1;Port={Port};Database={database};User ID={user};Password={password};SslMode=None;AllowPublicKeyRetrieval=true;Pooling=false";
}
