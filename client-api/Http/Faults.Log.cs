namespace Banking.ClientApi.Http;

internal sealed partial class Faults
{
    [LoggerMessage(2101, LogLevel.Warning, "{Route} found the bank unavailable: {Reason}")]
    private partial void LogUnavailable(string route, string reason);

    [LoggerMessage(2102, LogLevel.Error, "{Route} failed")]
    private partial void LogFault(string route, Exception exception);
}
