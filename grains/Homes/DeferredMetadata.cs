using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Orleans.Storage;

namespace Banking.Homes;

/// <summary>
/// Rule 3.9: metadata that may wait, one snapshot per row. It is written within <see cref="EngineLimits.DeferMax"/>, whatever
/// happens to the activation, unless a write of the row, which carries newer metadata, comes first. The newest snapshot wins, and a
/// row has one flush under way at most, so that an older one never overwrites it.
/// </summary>
internal sealed partial class DeferredMetadata : IAsyncDisposable
{
    private readonly Home home;
    private readonly Func<StoreOperation, Task> write;
    private readonly ILogger logger;
    private readonly Dictionary<string, Waiting> rows = [];
    private readonly CancellationTokenSource stopping = new();
    private readonly Task flushing;

    public DeferredMetadata(Home home, Func<StoreOperation, Task> write, ILogger logger)
    {
        (this.home, this.write, this.logger) = (home, write, logger);
        flushing = Task.Run(FlushForeverAsync);
    }

    public void Add(StoreOperation flush)
    {
        lock (rows)
        {
            if (!rows.TryGetValue(flush.Key, out var waiting))
            {
                rows[flush.Key] = new Waiting { Newest = flush, Since = Stopwatch.GetTimestamp() };
                return;
            }

            waiting.Since = waiting.UnderWay == waiting.Newest ? Stopwatch.GetTimestamp() : waiting.Since;
            waiting.Newest = flush;
        }
    }

    /// <summary>A write of the row is about to be queued: what waits is superseded.</summary>
    public void Drop(string key)
    {
        lock (rows)
        {
            rows.Remove(key);
        }
    }

    /// <summary>A load of the row is about to be queued: what waits goes before it, or it would be fenced off.</summary>
    public void FlushNow(string key)
    {
        Waiting? waiting;
        lock (rows)
        {
            rows.Remove(key, out waiting);
        }

        if (waiting is not null && waiting.Newest != waiting.UnderWay)
        {
            _ = FlushAsync(waiting.Newest, keep: true);
        }
    }

    /// <summary>Queues what is left.</summary>
    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await flushing;
        lock (rows)
        {
            foreach (var waiting in rows.Values.Where(waiting => waiting.Newest != waiting.UnderWay))
            {
                _ = write(waiting.Newest);
            }

            rows.Clear();
        }

        stopping.Dispose();
    }

    private async Task FlushForeverAsync()
    {
        using var timer = new PeriodicTimer(EngineLimits.DeferMax / 4);
        var due = new List<StoreOperation>();
        try
        {
            while (await timer.WaitForNextTickAsync(stopping.Token))
            {
                if (!home.IsAvailable)
                {
                    continue; // what waits keeps waiting; nobody else would collect these commit records
                }

                lock (rows)
                {
                    foreach (var waiting in rows.Values.Where(waiting => waiting.UnderWay is null && Stopwatch.GetElapsedTime(waiting.Since) >= EngineLimits.DeferMax))
                    {
                        waiting.UnderWay = waiting.Newest;
                        due.Add(waiting.Newest);
                    }
                }

                due.ForEach(flush => _ = FlushAsync(flush));
                due.Clear();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Stopping: DisposeAsync queues what is left.
        }
    }

    /// <summary>
    /// Writes one flush. If the home did not answer it waits again: the activation believes that it is written, so nothing
    /// else would ever write it. A conflict means that a newer write or load of the row was there first: nothing is lost, since
    /// a flush leaves the version alone, and a stale activation finds out by its own next call.
    /// </summary>
    private async Task FlushAsync(StoreOperation flush, bool keep = false)
    {
        var isWritten = true;
        try
        {
            await write(flush);
        }
        catch (HomeUnavailableException)
        {
            isWritten = false;
        }
        catch (Exception exception) when (exception is InconsistentStateException or InvalidOperationException)
        {
            LogFlushFailed(home.Name, exception.Message);
        }

        lock (rows)
        {
            if (!rows.TryGetValue(flush.Key, out var waiting))
            {
                if (!isWritten && keep)
                {
                    // If the load that followed succeeded, this will be a conflict and go; else it goes before the next load.
                    rows[flush.Key] = new Waiting { Newest = flush.Again(), Since = Stopwatch.GetTimestamp() };
                }
            }
            else if (waiting.UnderWay == flush)
            {
                waiting.UnderWay = null;
                if (waiting.Newest == flush && isWritten)
                {
                    rows.Remove(flush.Key);
                }
                else if (waiting.Newest == flush)
                {
                    (waiting.Newest, waiting.Since) = (flush.Again(), Stopwatch.GetTimestamp());
                }
            }
        }
    }

    [LoggerMessage(1104, LogLevel.Warning, "Home {Home}: deferred metadata was not written: {Message}")]
    private partial void LogFlushFailed(string home, string message);

    /// <summary>What waits for one row, and the flush of it that is being written.</summary>
    private sealed class Waiting
    {
        public required StoreOperation Newest { get; set; }

        public required long Since { get; set; }

        public StoreOperation? UnderWay { get; set; }
    }
}
