using System.Security.Cryptography;
using Microsoft.Extensions.Options;

namespace Banking.ClientApi.Access;

/// <summary>Section <c>Jwt</c>: whose tokens are taken.</summary>
internal sealed class JwtOptions
{
    public const string IssuerDefault = "https://bank.local";
    public const string AudienceDefault = "bank";

    /// <summary>The OpenID Connect provider whose published keys sign the tokens. For production.</summary>
    public string? Authority { get; set; }

    /// <summary>A file with an EC P-256 private key in PEM, as the verb new-key writes it. Never in production: who reads it can be anybody.</summary>
    public string? DevelopmentKeyFile { get; set; }

    /// <summary>The expected issuer; when not set, that of the authority, and <see cref="IssuerDefault"/> with a development key.</summary>
    public string? Issuer { get; set; }

    /// <summary>The expected audience.</summary>
    public string Audience { get; set; } = AudienceDefault;
}

/// <summary>Wrong settings stop the start, in words that say what to do.</summary>
internal sealed class JwtOptionsRules(IHostEnvironment environment) : IValidateOptions<JwtOptions>
{
    public ValidateOptionsResult Validate(string? name, JwtOptions options)
    {
        if (string.IsNullOrEmpty(options.Authority) == string.IsNullOrEmpty(options.DevelopmentKeyFile))
        {
            return Fail("Expected exactly one of Jwt:Authority (an OpenID Connect provider) and Jwt:DevelopmentKeyFile (a key made by the verb new-key).");
        }

        if (string.IsNullOrEmpty(options.Audience))
        {
            return Fail("Expected Jwt:Audience, got none.");
        }

        return string.IsNullOrEmpty(options.DevelopmentKeyFile) ? ValidateAuthority(options.Authority!) : ValidateKey(options.DevelopmentKeyFile);
    }

    private ValidateOptionsResult ValidateAuthority(string authority) =>
        !Uri.TryCreate(authority, UriKind.Absolute, out var address) || (address.Scheme != Uri.UriSchemeHttps && environment.IsProduction())
            ? Fail($"Expected Jwt:Authority to be an https address, got '{authority}'.")
            : ValidateOptionsResult.Success;

    private ValidateOptionsResult ValidateKey(string file)
    {
        if (environment.IsProduction())
        {
            return Fail("Expected no Jwt:DevelopmentKeyFile in production; set Jwt:Authority, or ASPNETCORE_ENVIRONMENT=Development on a developer's machine.");
        }

        try
        {
            using var key = DevelopmentKey.Read(file);
            return ValidateOptionsResult.Success;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or CryptographicException)
        {
            return Fail($"Expected Jwt:DevelopmentKeyFile '{file}' to be an EC P-256 private key in PEM: {exception.Message}");
        }
    }

    private static ValidateOptionsResult Fail(string sentence) => ValidateOptionsResult.Fail(sentence);
}
