using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.Net.Http.Headers;

namespace Banking.ClientApi.Http;

/// <summary>
/// Reads a request body in two steps, because a missing scope is told between them: first the bytes (415, 413), later
/// their meaning (400).
/// </summary>
internal static class JsonBody
{
    /// <summary>The largest body. Kestrel refuses more while reading.</summary>
    public const int LengthMax = 64 * 1024;

    private const int LengthFirst = 1024;

    public static async Task<(ReadOnlyMemory<byte> Json, Problem? Unreadable)> Read(HttpRequest request)
    {
        if (!IsJson(request.ContentType))
        {
            return (default, Problem.Of(Code.UnsupportedMediaType, $"Expected application/json in UTF-8, got '{request.ContentType}'."));
        }

        if (request.ContentLength > LengthMax)
        {
            return (default, TooLarge());
        }

        var buffer = new byte[request.ContentLength ?? LengthFirst];
        var length = 0;
        while (await request.Body.ReadAsync(buffer.AsMemory(length), request.HttpContext.RequestAborted) is > 0 and var count)
        {
            length += count;
            if (length > LengthMax)
            {
                return (default, TooLarge());
            }

            if (length == buffer.Length && request.ContentLength is null)
            {
                Array.Resize(ref buffer, buffer.Length * 2);
            }
        }

        return (buffer.AsMemory(0, length), null);
    }

    public static bool TryParse<T>(ReadOnlyMemory<byte> json, [NotNullWhen(true)] out T? body, [NotNullWhen(false)] out Problem? malformed)
        where T : class
    {
        body = null;
        if (!Utf8.IsValid(json.Span))
        {
            malformed = Problem.Of(Code.MalformedRequest, "Expected a body in UTF-8, got bytes that are not.");
            return false;
        }

        try
        {
            body = JsonSerializer.Deserialize<T>(json.Span, Wire.Json);
            malformed = body is null ? Problem.Of(Code.MalformedRequest, "Expected a JSON object, got null.") : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: half a surrogate pair written as an escape.
            malformed = Problem.Of(Code.MalformedRequest, Explain<T>(json, exception as JsonException));
        }

        return malformed is null;
    }

    private static bool IsJson(string? contentType) =>
        MediaTypeHeaderValue.TryParse(contentType, out var type) &&
        type.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase) &&
        (!type.Charset.HasValue || HeaderUtilities.RemoveQuotes(type.Charset).Equals("utf-8", StringComparison.OrdinalIgnoreCase));

    private static Problem TooLarge() => Problem.Of(Code.PayloadTooLarge, $"Expected a body of at most {LengthMax} bytes.");

    // Says what is wrong in the words of the contract; the serializer's own messages name our types.
    private static string Explain<T>(ReadOnlyMemory<byte> json, JsonException? exception)
    {
        var fields = Wire.Json.GetTypeInfo(typeof(T)).Properties;
        try
        {
            using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = Wire.Json.MaxDepth });
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                return $"Expected a JSON object, got {document.RootElement.ValueKind.ToString().ToLowerInvariant()}.";
            }

            var names = document.RootElement.EnumerateObject().Select(member => member.Name).ToList();
            var wrong = fields.Where(field => field.IsRequired && !names.Contains(field.Name)).Select(field => $"'{field.Name}' is missing")
                .Concat(names.Where(name => fields.All(field => field.Name != name)).Select(name => $"'{name}' is not known"))
                .Concat(names.GroupBy(name => name).Where(group => group.Count() > 1).Select(group => $"'{group.Key}' is there twice"))
                .ToList();
            if (wrong.Count > 0)
            {
                return $"Expected the fields {string.Join(", ", fields.Select(field => field.Name))}: {string.Join("; ", wrong)}.";
            }
        }
        catch (Exception broken) when (broken is JsonException or InvalidOperationException)
        {
            exception = broken as JsonException ?? exception;
        }

        return exception is { Path.Length: > 1 }
            ? $"Expected JSON of the documented shape; '{exception.Path[2..]}' is not of the documented type, not valid text, or there twice."
            : $"Expected JSON, got something else in line {exception?.LineNumber + 1 ?? 1} at byte {exception?.BytePositionInLine ?? 0}.";
    }
}
