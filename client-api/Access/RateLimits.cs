using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Threading.RateLimiting;
using Banking.ClientApi.Http;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.Extensions.Options;

namespace Banking.ClientApi.Access;

/// <summary>Section <c>RateLimits</c>: requests a second, and how many may come at once. Zero a second turns a limit off. Counted per front door.</summary>
internal sealed class RateLimitOptions
{
    [Range(0, 1_000_000)]
    public int PerClientPerSecond { get; set; } = 50;

    [Range(1, 1_000_000)]
    public int PerClientBurst { get; set; } = 100;

    [Range(0, 1_000_000)]
    public int PerAddressPerSecond { get; set; } = 200;

    [Range(1, 1_000_000)]
    public int PerAddressBurst { get; set; } = 400;
}

/// <summary>
/// Two token buckets: per address before the token is checked, because checking signatures costs; per client after,
/// so that nobody can spend the quota of somebody else.
/// </summary>
internal static class RateLimits
{
    /// <summary>Everybody in one IPv6 network of the usual size counts as one.</summary>
    private const int NetworkBytes = 8;

    public static void AddRateLimits(this WebApplicationBuilder builder)
    {
        builder.Services.AddOptions<RateLimitOptions>().BindConfiguration("RateLimits").ValidateDataAnnotations().ValidateOnStart();
        builder.Services.AddRateLimiter(_ => { });
    }

    public static void UseAddressLimit(this WebApplication app)
    {
        var limits = app.Services.GetRequiredService<IOptions<RateLimitOptions>>().Value;
        app.Use("address", limits.PerAddressPerSecond, limits.PerAddressBurst, http => NetworkOf(http.Connection.RemoteIpAddress));
    }

    public static void UseClientLimit(this WebApplication app)
    {
        var limits = app.Services.GetRequiredService<IOptions<RateLimitOptions>>().Value;
        app.Use("client", limits.PerClientPerSecond, limits.PerClientBurst, http => http.User.FindFirst(Claims.Subject)?.Value);
    }

    private static void Use(this WebApplication app, string name, int perSecond, int burst, Func<HttpContext, string?> whose)
    {
        if (perSecond == 0)
        {
            return;
        }

        var bucket = new TokenBucketRateLimiterOptions
        {
            TokenLimit = burst,
            TokensPerPeriod = perSecond,
            ReplenishmentPeriod = TimeSpan.FromSeconds(1),
            QueueLimit = 0,
        };
        app.UseRateLimiter(new RateLimiterOptions
        {
            GlobalLimiter = PartitionedRateLimiter.Create<HttpContext, string>(http => whose(http) is { } key
                ? RateLimitPartition.GetTokenBucketLimiter(key, _ => bucket)
                : RateLimitPartition.GetNoLimiter("")),
            OnRejected = (context, _) => Refuse(context, name, perSecond),
        });
    }

    private static async ValueTask Refuse(OnRejectedContext context, string name, int perSecond)
    {
        var wait = context.Lease.TryGetMetadata(MetadataName.RetryAfter, out var after) ? Math.Max(1, (int)Math.Ceiling(after.TotalSeconds)) : 1;
        var headers = context.HttpContext.Response.Headers;
        headers.RetryAfter = wait.ToString(CultureInfo.InvariantCulture);
        headers["RateLimit-Policy"] = $"\"{name}\";q={perSecond};w=1";
        headers["RateLimit"] = $"\"{name}\";r=0;t={wait}";
        await Problem.Of(Code.RateLimited, $"Expected at most {perSecond} requests a second per {name}.").ExecuteAsync(context.HttpContext);
    }

    private static string? NetworkOf(IPAddress? address) => address switch
    {
        null => null,
        { IsIPv4MappedToIPv6: true } => address.MapToIPv4().ToString(),
        { AddressFamily: AddressFamily.InterNetworkV6 } => Convert.ToHexString(address.GetAddressBytes().AsSpan(0, NetworkBytes)),
        _ => address.ToString(),
    };
}
