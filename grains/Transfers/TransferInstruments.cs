using System.Diagnostics.Metrics;

namespace Banking.Transfers;

/// <summary>The transfers' metrics, meter <c>Banking.Transfers</c>.</summary>
internal sealed class TransferInstruments
{
    public const string MeterName = "Banking.Transfers";

    private readonly Histogram<double> duration;

    public TransferInstruments(IMeterFactory meters) => duration = meters.Create(MeterName).CreateHistogram<double>(
        "banking.transfer.duration", "s", "Time from order to outcome, by outcome and code.");

    public void Ended(TransferOutcome outcome, TimeSpan elapsed) => duration.Record(
        elapsed.TotalSeconds,
        new KeyValuePair<string, object?>("outcome", outcome.Status),
        new KeyValuePair<string, object?>("code", outcome.Refusal is { } refusal ? Codes.NameOf(refusal.Code) : "none"));
}
