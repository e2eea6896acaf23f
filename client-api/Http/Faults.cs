using Banking.ClientApi.Cluster;

namespace Banking.ClientApi.Http;

/// <summary>Turns exceptions into answers: an unreachable bank into 503, everything unforeseen into 500 without details.</summary>
internal sealed partial class Faults(RequestDelegate next, ILogger<Faults> log)
{
    public async Task InvokeAsync(HttpContext http)
    {
        try
        {
            await next(http);
        }
        catch (Exception exception) when (!http.Response.HasStarted)
        {
            http.Response.Clear();
            if (http.RequestAborted.IsCancellationRequested)
            {
                http.Response.StatusCode = StatusCodes.Status499ClientClosedRequest;
                return;
            }

            await Answer(http, exception).ExecuteAsync(http);
        }
    }

    private Problem Answer(HttpContext http, Exception exception)
    {
        switch (exception)
        {
            case HomeUnavailableException:
                LogUnavailable(RouteOf(http), exception.Message);
                return Problem.Of(Code.HomeUnavailable, "The bank, or a home database that this needs, cannot be reached; nothing changed.");
            case NoAnswerException:
                LogUnavailable(RouteOf(http), exception.InnerException!.Message);
                return Problem.Of(Code.HomeUnavailable, "The bank did not answer in time; send the same request again.");
            case BadHttpRequestException bad:
                return Problem.ForStatus(bad.StatusCode);
            default:
                LogFault(RouteOf(http), exception);
                return Problem.ForStatus(StatusCodes.Status500InternalServerError);
        }
    }

    private static string RouteOf(HttpContext http) => RequestLog.RouteOf(http);
}
