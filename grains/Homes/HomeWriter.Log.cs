using Microsoft.Extensions.Logging;

namespace Banking.Homes;

internal sealed partial class HomeWriter
{
    [LoggerMessage(1101, LogLevel.Warning, "Home {Home}: a batch of {Members} was refused ({ErrorCode}: {Message}) and its members went alone")]
    private partial void LogBatchSplit(string home, int members, string errorCode, string message);

    [LoggerMessage(1102, LogLevel.Warning, "Home {Home}: the connection broke while a batch of {Members} was committed ({Message}); its outcome was looked up")]
    private partial void LogOutcomeUnknown(string home, int members, string message);

    [LoggerMessage(1103, LogLevel.Warning, "Home {Home}: attempt {Attempt} to look up a commit failed: {Message}")]
    private partial void LogResolveFailed(string home, int attempt, string message);

    [LoggerMessage(1105, LogLevel.Warning, "Home {Home}: a batch of {Members} failed with {Exception} ({Message}); the writer went on")]
    private partial void LogBatchFailed(string home, int members, string exception, string message);
}
