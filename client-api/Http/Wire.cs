using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.RegularExpressions;

namespace Banking.ClientApi.Http;

/// <summary>How values look on the wire: strict JSON in, camelCase out, times in UTC with microseconds.</summary>
internal static partial class Wire
{
    /// <summary>Bodies are flat; pairs are the deepest thing in them.</summary>
    private const int DepthMax = 8;

    private const string TimeFormat = "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'";

    public static readonly JsonSerializerOptions Json = Made();

    /// <summary>Case-sensitive names; unknown, missing and duplicate members, comments and trailing commas are refused.</summary>
    public static void Apply(JsonSerializerOptions json)
    {
        json.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        json.PropertyNameCaseInsensitive = false;
        json.UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow;
        json.AllowDuplicateProperties = false;
        json.RespectNullableAnnotations = true;
        json.RespectRequiredConstructorParameters = true;
        json.NumberHandling = JsonNumberHandling.Strict;
        json.ReadCommentHandling = JsonCommentHandling.Disallow;
        json.AllowTrailingCommas = false;
        json.MaxDepth = DepthMax;
        // Answers are never put into HTML: umlauts may stay readable.
        json.Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping;
    }

    /// <summary>An instant; values from storage are UTC whatever their kind says.</summary>
    public static string Time(DateTime utc) => utc.ToString(TimeFormat, CultureInfo.InvariantCulture);

    /// <summary>Reads RFC 3339 with Z or an offset and at most microseconds.</summary>
    public static bool TryReadTime(string text, out DateTime utc)
    {
        utc = default;
        if (!Rfc3339().IsMatch(text) ||
            !DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.None, out var instant))
        {
            return false;
        }

        utc = instant.UtcDateTime;
        return true;
    }

    private static JsonSerializerOptions Made()
    {
        var json = new JsonSerializerOptions();
        Apply(json);
        json.MakeReadOnly(populateMissingResolver: true);
        return json;
    }

    [GeneratedRegex(@"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})\z", RegexOptions.CultureInvariant)]
    private static partial Regex Rfc3339();
}

/// <summary>
/// An amount as it came: the text of a JSON string, or null for anything else. A number is not malformed JSON but an
/// invalid amount, and the client is told so by that name.
/// </summary>
[JsonConverter(typeof(Converter))]
internal readonly record struct AmountText(string? Text)
{
    internal sealed class Converter : JsonConverter<AmountText>
    {
        public override bool HandleNull => true;

        public override AmountText Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            if (reader.TokenType == JsonTokenType.String)
            {
                return new AmountText(reader.GetString());
            }

            reader.Skip();
            return default;
        }

        public override void Write(Utf8JsonWriter writer, AmountText value, JsonSerializerOptions options) => writer.WriteStringValue(value.Text);
    }
}
