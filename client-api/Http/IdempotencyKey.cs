namespace Banking.ClientApi.Http;

/// <summary>The header that makes a POST safe to repeat.</summary>
internal static class IdempotencyKey
{
    public const string Header = "Idempotency-Key";

    /// <summary>Reads the key into the checks; empty when it is wrong or not there.</summary>
    public static string Read(HttpRequest request, Checks checks, bool required = true)
    {
        var values = request.Headers[Header];
        if (values.Count == 0)
        {
            if (required)
            {
                checks.Add(Code.IdempotencyKeyMissing, Header, "Expected an Idempotency-Key header, a name of your own for this one order, and got none.");
            }

            return "";
        }

        if (values.Count > 1)
        {
            checks.Add(Code.IdempotencyKeyInvalid, Header, $"Expected one Idempotency-Key header, got {values.Count}.");
            return "";
        }

        // The IETF draft writes the key as a quoted string, most clients do not: both name the same key.
        var key = values[0] is ['"', .. var inner, '"'] ? inner : values[0] ?? "";
        if (Texts.CheckKey(key) is { } wrong)
        {
            checks.Add(Code.IdempotencyKeyInvalid, Header, wrong);
        }

        return key;
    }
}
