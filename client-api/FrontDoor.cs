using Banking.ClientApi.Access;
using Banking.ClientApi.Accounts;
using Banking.ClientApi.Cluster;
using Banking.ClientApi.Health;
using Banking.ClientApi.Http;
using Banking.ClientApi.Transfers;
using Scalar.AspNetCore;

namespace Banking.ClientApi;

/// <summary>
/// The front door: what a request passes through, in order, and which calls there are. Tests start it in their own
/// process with configuration as arguments, such as <c>--urls http://127.0.0.1:0</c>.
/// </summary>
internal static class FrontDoor
{
    private const string DefaultUrl = "http://127.0.0.1:8080";

    public static WebApplication Build(string[] args)
    {
        // Not the current directory: the front door may be started from anywhere.
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
        builder.AddBankingFrontDoor();
        var app = builder.Build();
        app.UseBankingFrontDoor();
        app.MapBankingFrontDoor();
        return app;
    }

    public static void AddBankingFrontDoor(this WebApplicationBuilder builder)
    {
        if (builder.Configuration["urls"] is null && builder.Configuration["http_ports"] is null && builder.Configuration["https_ports"] is null)
        {
            builder.WebHost.UseUrls(DefaultUrl);
        }

        builder.WebHost.ConfigureKestrel(ConnectionLimits.Apply);
        builder.Services.AddSingleton(TimeProvider.System);
        builder.Services.ConfigureHttpJsonOptions(json => Wire.Apply(json.SerializerOptions));
        builder.AddRequestLog();
        builder.AddCluster();
        builder.AddAccess();
        builder.AddRateLimits();
        builder.AddReadiness();
        builder.Services.AddBankOpenApi();
    }

    public static void UseBankingFrontDoor(this WebApplication app)
    {
        app.UseRequestLog();
        app.UseSecurityHeaders();
        app.UseMiddleware<Faults>();
        app.UseStatusCodePages(context => Problem.ForStatus(context.HttpContext.Response.StatusCode).ExecuteAsync(context.HttpContext));
        app.UseRouting();
        app.UseAddressLimit();
        app.UseAuthentication();
        app.UseClientLimit();
        app.UseAuthorization();
    }

    public static void MapBankingFrontDoor(this WebApplication app)
    {
        var v1 = app.MapGroup("/v1").RequireAuthorization().AddEndpointFilter(Acceptable.Check);
        v1.MapAccounts();
        v1.MapTransfers();
        app.MapHealth();
        app.MapProblemPages();
        app.MapOpenApi("/openapi/{documentName}.json");
        app.MapScalarApiReference("/docs", docs =>
        {
            // The page works without the Internet and tells nobody that it was opened.
            docs.Title = "Bank";
            docs.OpenApiRoutePattern = "/openapi/v1.json";
            docs.DisableDefaultFonts();
            docs.DisableTelemetry();
            docs.DisableAgent();
            docs.DisableMcp();
        });
    }
}
