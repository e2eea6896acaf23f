using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Banking.Homes;

/// <summary>All homes of this silo, by name.</summary>
internal sealed class HomeRegistry : IHostedLifecycleService, IAsyncDisposable
{
    private readonly Dictionary<string, Home> homes;
    private int disposed;

    public HomeRegistry(IOptions<HomesOptions> options, IOptions<SiloOptions> silo, HomeInstruments instruments, ILoggerFactory loggers, HomeSeams? seams = null) =>
        homes = options.Value.Homes.ToDictionary(
            home => home.Key,
            home => new Home(home.Key, home.Value, instruments, silo.Value.SiloName, loggers, seams));

    public IEnumerable<Home> All => homes.Values;

    public bool TryGet(string name, [NotNullWhen(true)] out Home? home) => homes.TryGetValue(name, out home);

    /// <summary>The home that a grain key names: what stands before the first hyphen, behind the state name if there is one.</summary>
    public Home OfKey(string key)
    {
        var start = key.LastIndexOf('/') + 1;
        var end = key.IndexOf('-', start);
        var name = end < 0 ? "" : key[start..end];
        return TryGet(name, out var home) ? home : throw new HomeUnavailableException(MaskedText.Of($"There is no home '{name}' here; it is asked for by the key {key}. Configure Homes:{name}."));
    }

    /// <summary>
    /// Checks all homes at once, so that one that does not answer does not delay the others, and before anything starts: a silo
    /// that has joined is given accounts at once.
    /// </summary>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.WhenAll(homes.Values.Select(home => home.StartAsync(cancellationToken)));

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return; // the container knows it as itself and as a hosted service
        }

        foreach (var home in homes.Values)
        {
            await home.DisposeAsync();
        }
    }
}
