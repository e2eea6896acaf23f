using Microsoft.Extensions.Logging;

namespace Banking.Homes;

internal sealed partial class Home
{
    [LoggerMessage(1001, LogLevel.Warning, "Home {Home}: the circuit opened: {Message}")]
    private partial void LogCircuitOpened(string home, string message);

    [LoggerMessage(1002, LogLevel.Information, "Home {Home}: available became {Available} ({Reason})")]
    private partial void LogHealthChanged(string home, bool available, string? reason);
}
