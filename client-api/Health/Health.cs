using Banking.ClientApi.Cluster;

namespace Banking.ClientApi.Health;

/// <summary>Section <c>Ready</c>.</summary>
internal sealed class ReadyOptions
{
    /// <summary>The home that is asked. One is enough: readiness says that this front door reaches the bank, not that every home is up.</summary>
    public string Home { get; set; } = "A";
}

internal sealed record Readiness(string Status, string Cluster, HomeReadiness Home);

internal sealed record HomeReadiness(string Name, bool Available, string? Reason);

/// <summary>Liveness touches neither database nor grain, else an outage behind would restart every front door.</summary>
internal static class HealthEndpoints
{
    /// <summary>Orchestrators ask every few seconds and give up early.</summary>
    private static readonly TimeSpan ProbeTimeout = TimeSpan.FromSeconds(2);

    public static void AddReadiness(this WebApplicationBuilder builder) =>
        builder.Services.AddOptions<ReadyOptions>().BindConfiguration("Ready")
            .Validate(ready => AccountNumber.IsHomeName(ready.Home), "Expected Ready:Home to be a home name such as A.")
            .ValidateOnStart();

    public static void MapHealth(this WebApplication app)
    {
        var health = app.MapGroup("/healthz").DisableRateLimiting().ExcludeFromDescription();
        health.MapGet("/live", () => TypedResults.Json(new { status = "live" }));
        health.MapGet("/ready", Ready);
    }

    private static async Task<IResult> Ready(Bank bank, ClusterLink link, Microsoft.Extensions.Options.IOptions<ReadyOptions> options)
    {
        var name = options.Value.Home;
        var home = await Probe(bank, name);
        var cluster = link.IsOpen ? "reachable" : "unreachable";
        return TypedResults.Json(
            new Readiness(home.Available ? "ready" : "not_ready", cluster, home),
            statusCode: home.Available ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable);
    }

    private static async Task<HomeReadiness> Probe(Bank bank, string name)
    {
        try
        {
            var health = await bank.Home(name, home => home.GetHealth(), ProbeTimeout);
            return new HomeReadiness(name, health is { Configured: true, Available: true }, health.Configured ? health.Reason : "There is no home of that name.");
        }
        catch (Exception exception) when (exception is HomeUnavailableException or NoAnswerException)
        {
            return new HomeReadiness(name, false, exception.Message);
        }
    }
}
