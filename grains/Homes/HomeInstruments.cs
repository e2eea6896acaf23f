using System.Diagnostics.Metrics;

namespace Banking.Homes;

/// <summary>The engine's metrics, meter <c>Banking.Homes</c>; each is tagged with its home.</summary>
internal sealed class HomeInstruments
{
    public const string MeterName = "Banking.Homes";

    private readonly Meter meter;
    private readonly Histogram<int> batchSize;
    private readonly Histogram<double> batchSeconds;
    private readonly Counter<long> circuitOpened;

    public HomeInstruments(IMeterFactory meters)
    {
        meter = meters.Create(MeterName);
        batchSize = meter.CreateHistogram<int>("banking.home.batch.size", "{operation}", "Operations in one MySQL transaction.");
        batchSeconds = meter.CreateHistogram<double>("banking.home.batch.duration", "s", "Time from lock to durable commit of a batch.");
        circuitOpened = meter.CreateCounter<long>("banking.home.circuit.opened", "{time}", "Times that a home was taken as unreachable.");
    }

    public void BatchWritten(string home, int size, TimeSpan duration)
    {
        batchSize.Record(size, new KeyValuePair<string, object?>("home", home));
        batchSeconds.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("home", home));
    }

    public void CircuitOpened(string home) => circuitOpened.Add(1, new KeyValuePair<string, object?>("home", home));

    public void Observe(Home home)
    {
        meter.CreateObservableGauge(
            "banking.home.writer.queue", () => new Measurement<int>(home.Writer.Queued, new KeyValuePair<string, object?>("home", home.Name)),
            "{operation}", "Operations that wait for the home's writer.");
        meter.CreateObservableGauge(
            "banking.home.available", () => new Measurement<int>(home.IsAvailable ? 1 : 0, new KeyValuePair<string, object?>("home", home.Name)),
            "1", "1 while the home can be used.");
    }
}
