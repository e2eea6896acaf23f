using System.Globalization;
using System.Security.Cryptography;

namespace Banking.ClientApi.Access;

/// <summary>
/// Two verbs of the executable, for development only: <c>new-key FILE</c> writes a signing key, <c>token --key FILE
/// --sub NAME --scope "a b" [--lifetime 8h] [--issuer X] [--audience Y]</c> prints a token and nothing else.
/// </summary>
internal static class DevelopmentVerbs
{
    private const int Misused = 2;
    private const int LifetimeDaysMax = 365;

    private const string Usage = """
        Expected one of (for development only):
          new-key FILE
          token --key FILE --sub NAME --scope "SCOPE SCOPE" [--lifetime 30m|8h|2d] [--issuer X] [--audience Y]
        """;

    /// <summary>The exit code of a verb; null when the arguments name none.</summary>
    public static int? TryRun(string[] args)
    {
        try
        {
            switch (args)
            {
                case ["new-key", var file] when !file.StartsWith("--", StringComparison.Ordinal):
                    DevelopmentKey.Write(file);
                    return 0;
                case ["token", .. var rest]:
                    return PrintToken(rest);
                case ["new-key", ..]:
                    throw new FormatException(Usage);
                default:
                    return null;
            }
        }
        catch (Exception exception) when (exception is FormatException or IOException or UnauthorizedAccessException or ArgumentException or CryptographicException)
        {
            Console.Error.WriteLine(exception.Message);
            return Misused;
        }
    }

    private static int PrintToken(string[] args)
    {
        var given = new Dictionary<string, string> { ["--lifetime"] = "8h", ["--issuer"] = JwtOptions.IssuerDefault, ["--audience"] = JwtOptions.AudienceDefault };
        for (var index = 0; index < args.Length; index += 2)
        {
            if (args[index] is not ("--key" or "--sub" or "--scope" or "--lifetime" or "--issuer" or "--audience") || index + 1 == args.Length)
            {
                throw new FormatException($"Got '{args[index]}'. {Usage}");
            }

            given[args[index]] = args[index + 1];
        }

        var order = new TokenOrder(Need("--sub"), Need("--scope"), Lifetime(given["--lifetime"]), given["--issuer"], given["--audience"]);
        if (Texts.CheckHolder(order.Subject) is { } wrong)
        {
            throw new FormatException($"--sub: {wrong}");
        }

        using var key = DevelopmentKey.Read(Need("--key"));
        Console.WriteLine(DevelopmentKey.SignToken(key, order, TimeProvider.System));
        return 0;

        string Need(string name) => given.GetValueOrDefault(name) ?? throw new FormatException($"{name} is missing. {Usage}");
    }

    private static TimeSpan Lifetime(string text)
    {
        if (text is [.. var number, 'm' or 'h' or 'd'] && int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            var minutes = (long)count * (text[^1] switch { 'm' => 1, 'h' => 60, _ => 24 * 60 });
            if (minutes is > 0 and <= LifetimeDaysMax * 24 * 60)
            {
                return TimeSpan.FromMinutes(minutes);
            }
        }

        throw new FormatException($"Expected --lifetime like 30m, 8h or 2d, at most {LifetimeDaysMax}d, got '{text}'.");
    }
}
