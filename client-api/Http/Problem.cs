using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Banking.ClientApi.Http;

/// <summary>What an error looks like: RFC 9457 with the bank's code.</summary>
internal sealed record ProblemBody(
    string Type,
    string Title,
    int Status,
    string Code,
    string Detail,
    bool Retryable,
    string TraceId)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? TransferId { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Account { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, string[]>? Errors { get; init; }
}

/// <summary>The one place that turns a refusal into an answer. Nothing in it but the trace id varies between two replays.</summary>
internal sealed record Problem(Refusal Refusal, IReadOnlyDictionary<string, string[]>? Errors = null) : IResult
{
    private const string ContentType = "application/problem+json";
    private const string RetryAfterSeconds = "1";

    public static Problem Of(Code code, string detail) => new(new Refusal(code, detail));

    /// <summary>What the framework refused by itself.</summary>
    public static Problem ForStatus(int status) => status switch
    {
        StatusCodes.Status401Unauthorized => Of(Code.Unauthenticated, "Expected a valid bearer token."),
        StatusCodes.Status403Forbidden => Of(Code.Forbidden, "The token does not allow this."),
        StatusCodes.Status404NotFound => Of(Code.NotFound, "There is no such route."),
        StatusCodes.Status405MethodNotAllowed => Of(Code.MethodNotAllowed, "The route does not know this method; Allow says which it knows."),
        StatusCodes.Status406NotAcceptable => Of(Code.NotAcceptable, "Expected Accept to allow application/json."),
        StatusCodes.Status413PayloadTooLarge => Of(Code.PayloadTooLarge, $"Expected a body of at most {JsonBody.LengthMax} bytes."),
        StatusCodes.Status415UnsupportedMediaType => Of(Code.UnsupportedMediaType, "Expected application/json in UTF-8."),
        StatusCodes.Status429TooManyRequests => Of(Code.RateLimited, "Too many requests."),
        StatusCodes.Status503ServiceUnavailable => Of(Code.Overloaded, "Too much work is queued; nothing changed."),
        >= 500 => Of(Code.InternalError, "Something is broken on our side; the trace id leads to it."),
        _ => Of(Code.MalformedRequest, "The request is not one that HTTP allows here."),
    };

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        var code = Refusal.Code;
        response.StatusCode = Codes.StatusOf(code);
        response.ContentType = ContentType;
        if (Refusal.Replayed)
        {
            Replay.Mark(response);
        }

        if (code is Code.RequestInProgress or Code.HomeUnavailable or Code.Overloaded)
        {
            response.Headers.RetryAfter = RetryAfterSeconds;
        }

        var body = new ProblemBody(
            $"/problems/{Codes.NameOf(code)}",
            Codes.TitleOf(code),
            Codes.StatusOf(code),
            Codes.NameOf(code),
            Refusal.Detail,
            Codes.IsRetryable(code),
            Activity.Current?.TraceId.ToHexString() ?? httpContext.TraceIdentifier)
        {
            TransferId = Refusal.TransferId,
            Account = Refusal.Account,
            Errors = Errors,
        };
        var json = JsonSerializer.SerializeToUtf8Bytes(body, Wire.Json);
        response.ContentLength = json.Length;
        // Not with the request's token: a client that hung up is no fault of ours.
        await response.Body.WriteAsync(json, CancellationToken.None);
    }
}

/// <summary>An answer that an earlier request with the same key got first says so in a header.</summary>
internal static class Replay
{
    public static void Mark(HttpResponse response) => response.Headers["Idempotent-Replayed"] = "true";
}

internal sealed record ProblemPage(string Code, int Status, string Title, bool Retryable);

/// <summary>The pages that <c>type</c> of a problem leads to.</summary>
internal static class ProblemPages
{
    public static void MapProblemPages(this WebApplication app) =>
        app.MapGet("/problems/{code}", IResult (string code) => Codes.TryParse(code, out var known)
            ? TypedResults.Json(new ProblemPage(code, Codes.StatusOf(known), Codes.TitleOf(known), Codes.IsRetryable(known)))
            : Problem.Of(Code.NotFound, "There is no code of that name."))
        .ExcludeFromDescription();
}
