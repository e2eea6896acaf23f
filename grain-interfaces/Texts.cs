using System.Text;

namespace Banking;

/// <summary>
/// The rules of free texts, for HTTP and Orleans callers alike. Each rule answers null for a text that keeps it and one
/// sentence for a text that does not.
/// </summary>
public static class Texts
{
    /// <summary>The longest reference, in characters (Unicode code points).</summary>
    public const int ReferenceLengthMax = 140;

    /// <summary>The longest holder.</summary>
    public const int HolderLengthMax = 64;

    /// <summary>The longest Idempotency-Key.</summary>
    public const int KeyLengthMax = 128;

    /// <summary>The most pairs of labels or metadata.</summary>
    public const int PairsMax = 20;

    /// <summary>The longest name of a pair.</summary>
    public const int PairNameLengthMax = 40;

    /// <summary>The longest value of a pair.</summary>
    public const int PairValueLengthMax = 200;

    /// <summary>A reference: up to 140 characters, none of them a control character or half a surrogate pair.</summary>
    public static string? CheckReference(string? reference) =>
        reference is null ? null : CheckFree("reference", reference, ReferenceLengthMax);

    /// <summary>A holder: 1 to 64 visible ASCII characters.</summary>
    public static string? CheckHolder(string? holder) =>
        holder is { Length: > 0 and <= HolderLengthMax } && holder.All(IsVisibleAscii)
            ? null
            : $"Expected a holder of 1 to {HolderLengthMax} visible ASCII characters.";

    /// <summary>An Idempotency-Key: 1 to 128 visible ASCII characters without quote and backslash.</summary>
    public static string? CheckKey(string? key) =>
        key is { Length: > 0 and <= KeyLengthMax } && key.All(character => IsVisibleAscii(character) && character is not ('"' or '\\'))
            ? null
            : $"Expected a key of 1 to {KeyLengthMax} visible ASCII characters without quote and backslash.";

    /// <summary>Labels or metadata: at most 20 pairs, names of 1 to 40 and values of up to 200 characters.</summary>
    public static string? CheckPairs(string what, IReadOnlyDictionary<string, string>? pairs)
    {
        if (pairs is null)
        {
            return null;
        }

        if (pairs.Count > PairsMax)
        {
            return $"Expected at most {PairsMax} {what}, got {pairs.Count}.";
        }

        foreach (var (name, value) in pairs)
        {
            if (name.Length == 0)
            {
                return $"Expected {what} with names of 1 to {PairNameLengthMax} characters, got an empty one.";
            }

            if (value is null)
            {
                return $"Expected {what} with text values, got null.";
            }

            if ((CheckFree($"name in {what}", name, PairNameLengthMax) ?? CheckFree($"value in {what}", value, PairValueLengthMax)) is { } wrong)
            {
                return wrong;
            }
        }

        return null;
    }

    private static string? CheckFree(string what, string text, int lengthMax)
    {
        var length = 0;
        for (var index = 0; index < text.Length; length++)
        {
            if (Rune.DecodeFromUtf16(text.AsSpan(index), out var rune, out var consumed) != System.Buffers.OperationStatus.Done || Rune.IsControl(rune))
            {
                return $"Expected a {what} without control characters and half surrogate pairs.";
            }

            index += consumed;
        }

        return length <= lengthMax ? null : $"Expected a {what} of at most {lengthMax} characters, got {length}.";
    }

    private static bool IsVisibleAscii(char character) => character is >= '!' and <= '~';
}
