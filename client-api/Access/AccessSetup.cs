using System.Security.Claims;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.Extensions.Options;
using Microsoft.IdentityModel.Tokens;

namespace Banking.ClientApi.Access;

/// <summary>Bearer tokens: who signed them, for whom, until when, and by which algorithm.</summary>
internal static class AccessSetup
{
    private static readonly TimeSpan ClockSkew = TimeSpan.FromSeconds(30);

    /// <summary>A provider that does not answer must not hold up our own answer beyond 12 s.</summary>
    private static readonly TimeSpan ProviderTimeout = TimeSpan.FromSeconds(5);

    public static void AddAccess(this WebApplicationBuilder builder)
    {
        var services = builder.Services;
        services.AddSingleton<IValidateOptions<JwtOptions>, JwtOptionsRules>();
        services.AddOptions<JwtOptions>().BindConfiguration("Jwt").ValidateOnStart();
        services.AddAuthentication(JwtBearerDefaults.AuthenticationScheme).AddJwtBearer();
        services.AddOptions<JwtBearerOptions>(JwtBearerDefaults.AuthenticationScheme).Configure<IOptions<JwtOptions>>((bearer, jwt) => Apply(bearer, jwt.Value));
        // Bearer tokens need no key ring; left in, it would write keys into the home folder of whoever starts the front door.
        services.Remove(services.Single(service => service.ImplementationType?.Name == "DataProtectionHostedService"));
        services.AddAuthorization();
        services.AddSingleton<OwnershipCache>();
        services.AddScoped<Ownership>();
    }

    private static void Apply(JwtBearerOptions bearer, JwtOptions jwt)
    {
        bearer.MapInboundClaims = false;
        bearer.IncludeErrorDetails = false;
        bearer.SaveToken = false;
        bearer.BackchannelTimeout = ProviderTimeout;
        bearer.RequireHttpsMetadata = jwt.Authority?.StartsWith("https:", StringComparison.OrdinalIgnoreCase) ?? true;
        bearer.Authority = jwt.Authority;
        bearer.TokenValidationParameters = new TokenValidationParameters
        {
            NameClaimType = Claims.Subject,
            ValidAlgorithms = [SecurityAlgorithms.EcdsaSha256, SecurityAlgorithms.RsaSha256],
            ValidAudience = jwt.Audience,
            ValidIssuer = jwt.Issuer ?? (jwt.Authority is null ? JwtOptions.IssuerDefault : null),
            RequireSignedTokens = true,
            RequireExpirationTime = true,
            RequireAudience = true,
            ValidateLifetime = true,
            ValidateIssuerSigningKey = true,
            ClockSkew = ClockSkew,
            IssuerSigningKey = jwt.DevelopmentKeyFile is { Length: > 0 } file ? DevelopmentKey.Named(DevelopmentKey.Read(file)) : null,
        };
        bearer.Events = new JwtBearerEvents { OnTokenValidated = RequireSubject };
    }

    // The subject is compared with holders and kept with orders: one that no holder could have is nobody.
    private static Task RequireSubject(TokenValidatedContext context)
    {
        if (Texts.CheckHolder(context.Principal?.FindFirstValue(Claims.Subject)) is { } wrong)
        {
            context.Fail(wrong);
        }

        return Task.CompletedTask;
    }
}
