using System.Security.Cryptography;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Banking.ClientApi.Access;

/// <summary>A key pair in a file that stands in for an identity provider on a developer's machine.</summary>
internal static class DevelopmentKey
{
    public static ECDsa Read(string file)
    {
        var key = ECDsa.Create();
        key.ImportFromPem(File.ReadAllText(file));
        return key.KeySize == 256 ? key : throw new CryptographicException($"Expected a key of 256 bits, got {key.KeySize}.");
    }

    /// <summary>Writes a new key that only its owner can read. An existing file stays: tokens signed with it may be in use.</summary>
    public static void Write(string file)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        using var writer = new StreamWriter(file, options);
        writer.WriteLine(key.ExportPkcs8PrivateKeyPem());
    }

    /// <summary>The key under its RFC 7638 thumbprint, so that another key is told by name and not by a bad signature.</summary>
    public static ECDsaSecurityKey Named(ECDsa key)
    {
        var named = new ECDsaSecurityKey(key);
        named.KeyId = Base64UrlEncoder.Encode(named.ComputeJwkThumbprint());
        return named;
    }

    public static string SignToken(ECDsa key, TokenOrder order, TimeProvider time)
    {
        var now = time.GetUtcNow().UtcDateTime;
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            TokenType = "at+jwt",
            Issuer = order.Issuer,
            Audience = order.Audience,
            IssuedAt = now,
            NotBefore = now,
            Expires = now + order.Lifetime,
            Claims = new Dictionary<string, object> { [Claims.Subject] = order.Subject, [Claims.Scope] = order.Scope },
            SigningCredentials = new SigningCredentials(Named(key), SecurityAlgorithms.EcdsaSha256),
        });
    }
}

/// <summary>What a development token should say.</summary>
internal sealed record TokenOrder(string Subject, string Scope, TimeSpan Lifetime, string Issuer, string Audience);
