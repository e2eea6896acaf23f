using System.Diagnostics;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// The connection that one loop keeps between its batches. The server ends a session that says nothing for
/// <see cref="EngineLimits.SessionIdleSeconds"/>: a silo that hangs between its two round trips, or that nobody can reach any more,
/// must not hold the locks of its rows. So a connection that may soon be ended is replaced before it is used.
/// </summary>
internal sealed class KeptConnection(Home home) : IAsyncDisposable
{
    private MySqlConnection? connection;
    private long usedAt;

    public async ValueTask<MySqlConnection> OpenAsync(CancellationToken cancellation)
    {
        if (connection is not null && Stopwatch.GetElapsedTime(usedAt) > EngineLimits.KeptIdleMax)
        {
            await DisposeAsync();
        }

        usedAt = Stopwatch.GetTimestamp();
        return connection ??= await home.OpenAsync(cancellation);
    }

    /// <summary>Closes the connection, which rolls back whatever it had open. The next use opens a new one.</summary>
    public async ValueTask DisposeAsync()
    {
        if (connection is { } closing)
        {
            connection = null;
            await closing.DisposeAsync();
        }
    }
}
