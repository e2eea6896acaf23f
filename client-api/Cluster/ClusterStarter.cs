namespace Banking.ClientApi.Cluster;

/// <summary>
/// Starts the Orleans client beside the web server. Left to itself, Orleans holds up the start of the host until it
/// meets a silo, and /healthz/live would not answer for so long.
/// </summary>
internal sealed partial class ClusterStarter(IClusterClient client, ClusterLink link, IHostApplicationLifetime host, ILogger<ClusterStarter> log)
    : IHostedService, IDisposable
{
    private readonly CancellationTokenSource _stopping = new();
    private Task _start = Task.CompletedTask;

    private IHostedService Client => (IHostedService)client;

    public Task StartAsync(CancellationToken cancellationToken)
    {
        _start = StartClient();
        return Task.CompletedTask;
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        await _start.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (link.HasStarted)
        {
            await Client.StopAsync(cancellationToken);
        }
    }

    public void Dispose() => _stopping.Dispose();

    private async Task StartClient()
    {
        try
        {
            await Client.StartAsync(_stopping.Token);
            link.HasStarted = true;
        }
        catch (Exception exception) when (!_stopping.IsCancellationRequested)
        {
            // Silos that are not there are waited for, so this is a bug or a wrong setting: better gone than never ready.
            LogStartFailed(exception);
            Environment.ExitCode = 1;
            host.StopApplication();
        }
    }

    [LoggerMessage(2003, LogLevel.Critical, "The Orleans client did not start")]
    private partial void LogStartFailed(Exception exception);
}
