using Microsoft.Extensions.Logging;

namespace Banking.Transfers;

internal sealed partial class TransferGrain
{
    [LoggerMessage(2001, LogLevel.Warning, "Transfer {TransferId}: the transaction ended without an outcome ({Message}); it was settled at the source")]
    private partial void LogOutcomeUnknown(string transferId, string message);

    [LoggerMessage(2002, LogLevel.Error, "Transfer {TransferId} failed")]
    private partial void LogFailed(string transferId, Exception exception);

    [LoggerMessage(2003, LogLevel.Information, "A settlement on {Account} did not go through and was tried again: {Message}")]
    private partial void LogStepFailed(string account, string message);

    [LoggerMessage(2004, LogLevel.Warning, "Transfer {TransferId} has no outcome yet after {Attempts} attempts ({State}); the last thing that failed was: {Message}")]
    private partial void LogStillOpen(string transferId, int attempts, string state, string message);
}
