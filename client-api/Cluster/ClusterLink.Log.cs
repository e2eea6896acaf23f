namespace Banking.ClientApi.Cluster;

internal sealed partial class ClusterLink
{
    [LoggerMessage(2001, LogLevel.Warning, "No silo was reached in attempt {Attempt}: {Reason}")]
    private partial void LogNotReached(int attempt, string reason);

    [LoggerMessage(2002, LogLevel.Warning, "The last connection to a silo was lost")]
    private partial void LogConnectionLost();
}
