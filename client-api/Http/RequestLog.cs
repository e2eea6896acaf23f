using System.Text.RegularExpressions;
using Serilog;
using Serilog.Events;
using Serilog.Formatting;
using Serilog.Formatting.Compact;

namespace Banking.ClientApi.Http;

/// <summary>
/// One line of JSON per request on standard output: the route as it is declared, never the path, for paths carry
/// account numbers. Levels come from section <c>Serilog</c>.
/// </summary>
internal static class RequestLog
{
    public static void AddRequestLog(this WebApplicationBuilder builder) =>
        builder.Services.AddSerilog((_, log) => log
            .MinimumLevel.Override("Microsoft", LogEventLevel.Warning)
            .MinimumLevel.Override("Microsoft.Hosting.Lifetime", LogEventLevel.Information)
            .MinimumLevel.Override("Orleans", LogEventLevel.Warning)
            .ReadFrom.Configuration(builder.Configuration)
            .Enrich.FromLogContext()
            .Enrich.With<WithoutPath>()
            .WriteTo.Console(new MaskedFormatter(new CompactJsonFormatter())),
            preserveStaticLogger: true);

    public static void UseRequestLog(this WebApplication app) => app.UseSerilogRequestLogging(log =>
    {
        // Not the static logger, which is the middleware's default: several front doors may live in one test process.
        log.Logger = app.Services.GetRequiredService<Serilog.ILogger>();
        log.MessageTemplate = "{Method} {Route} answered {Status} in {Elapsed:0.0} ms";
        log.GetMessageTemplateProperties = (http, _, elapsed, status) =>
        [
            new LogEventProperty("Method", new ScalarValue(http.Request.Method)),
            new LogEventProperty("Route", new ScalarValue(RouteOf(http))),
            new LogEventProperty("Status", new ScalarValue(status)),
            new LogEventProperty("Elapsed", new ScalarValue(elapsed)),
            new LogEventProperty("Subject", new ScalarValue(http.User.FindFirst("sub")?.Value)),
        ];
        log.GetLevel = (http, _, exception) => http switch
        {
            _ when exception is not null || http.Response.StatusCode == StatusCodes.Status500InternalServerError => LogEventLevel.Error,
            _ when http.Request.Path.StartsWithSegments("/healthz") => LogEventLevel.Debug,
            _ => LogEventLevel.Information,
        };
    });

    public static string RouteOf(HttpContext http) => (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "(no route)";

    /// <summary>Takes away the path that the web server adds to every line written during a request.</summary>
    private sealed class WithoutPath : Serilog.Core.ILogEventEnricher
    {
        public void Enrich(LogEvent logEvent, Serilog.Core.ILogEventPropertyFactory propertyFactory) => logEvent.RemovePropertyIfPresent("RequestPath");
    }
}

/// <summary>
/// Masks account numbers to home and last four in whatever is written, messages of libraries and exceptions included.
/// Ids of transfers stay whole: support needs them, and they are no secret to whom the log is shown.
/// </summary>
internal sealed partial class MaskedFormatter(ITextFormatter inner) : ITextFormatter
{
    public void Format(LogEvent logEvent, TextWriter output)
    {
        using var line = new StringWriter();
        inner.Format(logEvent, line);
        output.Write(Number().Replace(line.ToString(), match => AccountNumber.TryParse(match.Value, out var number) ? number.Masked : match.Value));
    }

    [GeneratedRegex(@"(?<![A-Z0-9])[A-Z][A-Z0-9]{0,7}-(CUS|BUS|INT)-[0-9]{12}-[0-9]{2}(?![0-9])(?!\.[A-Za-z0-9_-]{22})", RegexOptions.CultureInvariant)]
    private static partial Regex Number();
}
