using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using Banking.ClientApi;
using Banking.ClientApi.Access;
using Microsoft.AspNetCore.Builder;

namespace Banking.Tests.Servers;

/// <summary>The front door on a real port, with a development key made for it.</summary>
internal sealed class FrontDoorServer : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly string keyFile;
    private readonly System.Security.Cryptography.ECDsa key;

    private FrontDoorServer(WebApplication app, string keyFile) => (this.app, this.keyFile, key) = (app, keyFile, DevelopmentKey.Read(keyFile));

    public Uri Address => new(app.Urls.Single());

    public static async Task<FrontDoorServer> StartAsync(Bank bank, params string[] settings)
    {
        var keyFile = Path.Combine(Path.GetTempPath(), $"bank-{Guid.NewGuid():N}.pem");
        DevelopmentKey.Write(keyFile);
        var app = FrontDoor.Build(
        [
            "--environment", "Development", "--urls", "http://127.0.0.1:0", "--ConnectionStrings:System", bank.Settings["ConnectionStrings:System"],
            "--Jwt:DevelopmentKeyFile", keyFile, "--RateLimits:PerClientPerSecond", "0", "--RateLimits:PerAddressPerSecond", "0",
            "--Serilog:MinimumLevel:Default", "Error", .. settings,
        ]);
        await app.StartAsync();
        return new FrontDoorServer(app, keyFile);
    }

    public string Token(string subject, string scope, TimeSpan? lifetime = null) =>
        DevelopmentKey.SignToken(key, new TokenOrder(subject, scope, lifetime ?? TimeSpan.FromHours(1), JwtOptions.IssuerDefault, JwtOptions.AudienceDefault), TimeProvider.System);

    /// <summary>A client that carries a token, or none.</summary>
    public HttpClient Client(string? token) => new()
    {
        BaseAddress = Address,
        DefaultRequestHeaders = { Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token) },
    };

    public HttpClient ClientOf(string subject, string scope) => Client(Token(subject, scope));

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
        key.Dispose();
        File.Delete(keyFile);
    }
}

/// <summary>One bank with one front door for all tests of a class; each test opens accounts of its own.</summary>
public sealed class ApiFixture : IAsyncLifetime
{
    internal Bank Bank { get; private set; } = null!;

    internal FrontDoorServer Door { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Bank = await Bank.StartAsync();
        Door = await FrontDoorServer.StartAsync(Bank);
    }

    public async ValueTask DisposeAsync()
    {
        await Door.DisposeAsync();
        await Bank.DisposeAsync();
    }
}

internal sealed record Reply(int Status, JsonElement Body, HttpResponseMessage Response)
{
    public string? Code => Body.ValueKind == JsonValueKind.Object && Body.TryGetProperty("code", out var code) ? code.GetString() : null;

    /// <summary>The body without what differs from answer to answer.</summary>
    public string Same => string.Join(", ", Body.EnumerateObject().Where(member => member.Name != "traceId").Select(member => $"{member.Name}={member.Value.GetRawText()}"));

    public string Text(string name) => Body.GetProperty(name).GetString()!;
}

internal static class HttpCalls
{
    public static Task<Reply> FetchAsync(this HttpClient client, string path, int expected = 200) => client.CallAsync(HttpMethod.Get, path, null, null, expected);

    public static Task<Reply> SubmitAsync(this HttpClient client, string path, object body, string? key, int? expected = null) =>
        client.CallAsync(HttpMethod.Post, path, body is string raw ? new StringContent(raw, Encoding.UTF8, "application/json") : JsonContent.Create(body), key, expected);

    public static async Task<Reply> CallAsync(this HttpClient client, HttpMethod method, string path, HttpContent? content, string? key, int? expected)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        if (key is not null)
        {
            request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        }

        // A body that is too large is refused before it is read; without this the client may meet a closed connection instead of the answer.
        request.Headers.ExpectContinue = content?.Headers.ContentLength > 64 * 1024;
        var response = await client.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        if (expected is not null)
        {
            Assert.True((int)response.StatusCode == expected, $"{method} {path}: expected {expected}, got {(int)response.StatusCode}: {text}");
        }

        var isJson = response.Content.Headers.ContentType?.MediaType?.EndsWith("json", StringComparison.Ordinal) == true;
        return new Reply((int)response.StatusCode, isJson ? JsonDocument.Parse(text).RootElement : default, response);
    }
}
