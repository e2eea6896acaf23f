using Microsoft.Net.Http.Headers;

namespace Banking.ClientApi.Http;

/// <summary>406 only where Accept excludes every JSON; what cannot be read excludes nothing.</summary>
internal static class Acceptable
{
    public static ValueTask<object?> Check(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var accept = context.HttpContext.Request.Headers.Accept;
        return accept.Count == 0 || !MediaTypeHeaderValue.TryParseList(accept, out var types) || types.Count == 0 || types.Any(TakesJson)
            ? next(context)
            : ValueTask.FromResult<object?>(Problem.ForStatus(StatusCodes.Status406NotAcceptable));
    }

    private static bool TakesJson(MediaTypeHeaderValue type) =>
        type.Quality is not 0 &&
        (type.MatchesAllTypes ||
            (type.Type.Equals("application", StringComparison.OrdinalIgnoreCase) &&
                (type.MatchesAllSubTypes ||
                    type.SubType.Equals("json", StringComparison.OrdinalIgnoreCase) ||
                    type.SubType.Equals("problem+json", StringComparison.OrdinalIgnoreCase))));
}
