using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Banking;

/// <summary>
/// The id of a transfer: the source account's number and a digest of the Idempotency-Key, such as
/// <c>A-CUS-004217735190-63.q2Xk3Vw1mB0zRfT7uYh9Lg</c>. The same source and key always give the same id, so the id
/// leads to the account that is the authority on it, and a key cannot name two transfers.
/// </summary>
[GenerateSerializer, Immutable, Alias("banking.TransferId")]
public readonly record struct TransferId
{
    /// <summary>128 bits: a payer would need 2^64 keys on one account to make two of them meet, and would only harm itself.</summary>
    private const int DigestBytes = 16;

    private const int DigestLength = 22;

    private TransferId(AccountNumber source, string text) => (Source, Text) = (source, text);

    /// <summary>The account that pays, the authority on the outcome.</summary>
    [Id(0)] public AccountNumber Source { get; }

    /// <summary>The id as written, at most 57 characters.</summary>
    [Id(1)] public string Text { get; }

    /// <summary>The id of a key at a source.</summary>
    public static TransferId Of(AccountNumber source, string key)
    {
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(key), digest);
        return new TransferId(source, $"{source.Text}.{Base64Url.EncodeToString(digest[..DigestBytes])}");
    }

    /// <summary>Reads an id; false unless spelt as <see cref="Text"/>.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out TransferId id)
    {
        id = default;
        var dot = text?.IndexOf('.', StringComparison.Ordinal) ?? -1;
        if (dot < 0 || text!.Length - dot - 1 != DigestLength || !Base64Url.IsValid(text.AsSpan(dot + 1)) ||
            !AccountNumber.TryParse(text[..dot], out var source))
        {
            return false;
        }

        id = new TransferId(source, text);
        return true;
    }

    /// <summary>Reads an id. Throws <see cref="FormatException"/> for any other text.</summary>
    public static TransferId Parse(string text) =>
        TryParse(text, out var id) ? id : throw new FormatException($"Expected a transfer id, got '{text}'.");

    /// <inheritdoc/>
    public override string ToString() => Text;
}
