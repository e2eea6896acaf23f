namespace Banking.ClientApi.Cluster;

/// <summary>What is known about the connections to the silos. Orleans tells it; everybody else reads.</summary>
internal sealed partial class ClusterLink(TimeProvider time, ILogger<ClusterLink> log)
    : IClusterConnectionStatusObserver, IClientConnectionRetryFilter
{
    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);

    /// <summary>One log line for so many failed attempts: about two a minute.</summary>
    private const int AttemptsPerLogLine = 30;

    private int _attempts;
    private int _gateways;
    private long _openings;

    /// <summary>True once the client has met its first silo. Before, Orleans would lose calls without a word.</summary>
    public bool HasStarted { get; set; }

    /// <summary>True while a connection to at least one silo is open.</summary>
    public bool IsOpen => Volatile.Read(ref _gateways) > 0;

    /// <summary>How many connections were opened so far. Unchanged while none was open means: nothing can have been sent.</summary>
    public long Openings => Interlocked.Read(ref _openings);

    public void NotifyGatewayCountChanged(int currentNumberOfGateways, int previousNumberOfGateways, bool connectionRecovered)
    {
        // The difference, not the number: two notifications may overtake each other.
        Interlocked.Add(ref _gateways, currentNumberOfGateways - previousNumberOfGateways);
        if (currentNumberOfGateways > previousNumberOfGateways)
        {
            Interlocked.Increment(ref _openings);
        }
    }

    public void NotifyClusterConnectionLost() => LogConnectionLost();

    /// <summary>Tries for ever, until the host stops: a front door that gave up would have to be restarted by hand after an outage.</summary>
    public async Task<bool> ShouldRetryConnectionAttempt(Exception exception, CancellationToken cancellationToken)
    {
        if (_attempts++ % AttemptsPerLogLine == 0)
        {
            LogNotReached(_attempts, exception.Message);
        }

        await Task.Delay(RetryDelay, time, cancellationToken);
        return true;
    }
}
