using System.Text.RegularExpressions;

namespace Banking.Homes;

/// <summary>
/// Texts of logs and exceptions: account numbers in them are shown as home and last four characters. Whole in a transfer's id,
/// which is given out to be looked up.
/// </summary>
internal static partial class MaskedText
{
    public static string Of(string text) =>
        Number().Replace(text, static match => AccountNumber.TryParse(match.Value, out var number) ? number.Masked : match.Value);

    [GeneratedRegex(@"\b[A-Z][A-Z0-9]{0,7}-(CUS|BUS|INT)-[0-9]{12}-[0-9]{2}\b(?!\.[A-Za-z0-9_-]{22})", RegexOptions.CultureInvariant)]
    private static partial Regex Number();
}
