using Banking.Accounts;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Runtime;
using Orleans.Transactions.Abstractions;

namespace Banking.Homes;

/// <summary>
/// Recovery without clients (section 7, guarantee 6): wakes the grains whose rows have pending states or commit records for
/// longer than a healthy transaction needs. An activation that loads does the rest: it asks the manager, or confirms.
/// </summary>
/// <remarks>
/// The touch is Orleans' own Abort of a random transaction id: it waits until the activation is ready and has no other
/// effect. A plain call would not heal a live activation whose reload failed. Only transactional accounts live in
/// <c>account</c>; other states name their grain in their key.
/// </remarks>
internal sealed partial class UnsettledSweep(HomeRegistry homes, IGrainFactory grains, TimeProvider time, Random random, ILogger<UnsettledSweep> logger) : BackgroundService
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(2), SettleTime = TimeSpan.FromSeconds(2), TouchAgainAfter = TimeSpan.FromSeconds(5), TouchTimeMax = TimeSpan.FromSeconds(5);

    /// <summary>Oldest rows that one round takes on, and how many it touches at once.</summary>
    private const int CandidatesMax = 512, InFlightMax = 32;

    /// <summary>One loop for each home: one that hangs does not delay the others.</summary>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(homes.All.Select(home => SweepForeverAsync(home, stoppingToken)));

    private async Task SweepForeverAsync(Home home, CancellationToken cancellation)
    {
        var touched = new Dictionary<string, long>();
        try
        {
            while (true)
            {
                await Task.Delay(Period * (0.75 + (random.NextDouble() / 2)), time, cancellation);
                if (home.IsAvailable)
                {
                    await SweepAsync(home, touched, cancellation);
                }
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // Stopping.
        }
    }

    private async Task SweepAsync(Home home, Dictionary<string, long> touched, CancellationToken cancellation)
    {
        foreach (var (key, _) in touched.Where(touch => time.GetElapsedTime(touch.Value) > TouchAgainAfter).ToList())
        {
            touched.Remove(key);
        }

        string[] due;
        try
        {
            var unsettled = await LedgerQueries.UnsettledAsync(home, AccountTable.Instance, time.GetUtcNow().UtcDateTime - SettleTime, CandidatesMax);
            due = [.. unsettled.Where(key => !touched.ContainsKey(key))];
        }
        catch (Exception exception) when (exception is not OutOfMemoryException && !cancellation.IsCancellationRequested)
        {
            LogSweepFailed(home.Name, exception.Message); // whatever it is, the sweep must go on
            return;
        }

        random.Shuffle(due); // every silo sweeps: in another order each they share the work
        foreach (var key in due)
        {
            touched[key] = time.GetTimestamp();
        }

        await Parallel.ForEachAsync(due, new ParallelOptions { MaxDegreeOfParallelism = InFlightMax, CancellationToken = cancellation }, async (key, token) => await TouchAsync(home, key, token));
    }

    private async Task TouchAsync(Home home, string account, CancellationToken cancellation)
    {
        try
        {
            var touch = grains.GetGrain<IAccountLegs>(account).AsReference<ITransactionalResourceExtension>().Abort(AccountGrain.StateName, Guid.NewGuid(), cancellation);
            await touch.WaitAsync(TouchTimeMax, time, cancellation);
            LogTouched(home.Name, AccountNumber.Parse(account).Masked);
        }
        catch (Exception exception) when (exception is not OutOfMemoryException && !cancellation.IsCancellationRequested)
        {
            LogTouchFailed(home.Name, AccountNumber.Parse(account).Masked, exception.Message); // the next round tries again
        }
    }

    [LoggerMessage(1201, LogLevel.Debug, "Home {Home}: {Account} was unsettled and was woken")]
    private partial void LogTouched(string home, string account);

    [LoggerMessage(1202, LogLevel.Warning, "Home {Home}: unsettled {Account} could not be woken: {Message}")]
    private partial void LogTouchFailed(string home, string account, string message);

    [LoggerMessage(1203, LogLevel.Warning, "Home {Home}: unsettled rows could not be listed: {Message}")]
    private partial void LogSweepFailed(string home, string message);
}
