using System.Net.Http.Headers;
using System.Text;
using Banking.Tests.Servers;

namespace Banking.Tests.Http;

/// <summary>The front door as an API developer meets it: real HTTP, real databases.</summary>
public sealed class TransferApiTests(ApiFixture fixture) : IClassFixture<ApiFixture>, IAsyncLifetime
{
    private readonly FrontDoorServer door = fixture.Door;
    private HttpClient op = null!, alice = null!, bob = null!;
    private string cash = "", from = "", to = "";

    public async ValueTask InitializeAsync()
    {
        op = door.ClientOf("operator", "operator");
        alice = door.ClientOf("alice", "accounts:read transfers:write");
        bob = door.ClientOf("bob", "accounts:read transfers:write");
        cash = await OpenAsync("A", "bank", "internal");
        from = await OpenAsync("A", "alice", "customer");
        to = await OpenAsync("B", "bob", "customer");
        await op.SubmitAsync($"/v1/accounts/{cash}/transfers", Order(from, "100.00"), "fund", 201);
    }

    public ValueTask DisposeAsync()
    {
        op.Dispose();
        alice.Dispose();
        bob.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task APostedTransferShowsEverywhereAtOnce()
    {
        var posted = await alice.SubmitAsync($"/v1/accounts/{from}/transfers", new { to, amount = "12.34", currency = "EUR", reference = "rent", metadata = new { invoice = "7" } }, "rent", 201);
        Assert.Equal(("posted", from, to, "12.34", "87.66", "rent"), (posted.Text("status"), posted.Text("from"), posted.Text("to"), posted.Text("amount"), posted.Text("balanceAfter"), posted.Text("reference")));
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", posted.Text("postedAt"));
        Assert.Equal($"/v1/transfers/{posted.Text("id")}", posted.Response.Headers.Location!.ToString());

        Assert.Equal("87.66", (await alice.FetchAsync($"/v1/accounts/{from}/balance")).Text("posted"));
        Assert.Equal("12.34", (await bob.FetchAsync($"/v1/accounts/{to}/balance")).Text("available"));
        var credit = (await bob.FetchAsync($"/v1/accounts/{to}/postings")).Body.GetProperty("items")[0];
        Assert.Equal((posted.Text("id"), "12.34", from), (credit.GetProperty("transferId").GetString(), credit.GetProperty("amount").GetString(), credit.GetProperty("counterparty").GetString()));

        Assert.Equal(posted.Same, (await alice.FetchAsync($"/v1/transfers/{posted.Text("id")}")).Same);
        var seenByPayee = await bob.FetchAsync($"/v1/transfers/{posted.Text("id")}");
        Assert.False(seenByPayee.Body.TryGetProperty("balanceAfter", out _));
        Assert.False(seenByPayee.Body.TryGetProperty("metadata", out _));
        using var stranger = door.ClientOf("mallory", "accounts:read");
        Assert.Equal("transfer_not_found", (await stranger.FetchAsync($"/v1/transfers/{posted.Text("id")}", 404)).Code);
    }

    [Fact]
    public async Task ReplayedTransferReturnsTheFirstReceipt()
    {
        var first = await alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.0"), "again", 201);
        var replay = await alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.00"), "\"again\"", 201);
        Assert.Equal(first.Same, replay.Same);
        Assert.Equal(["true"], replay.Response.Headers.GetValues("Idempotent-Replayed"));
        Assert.Equal("idempotency_key_reused", (await alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.01"), "again", 422)).Code);
    }

    [Fact]
    public async Task ARefusalIsKeptAlsoWhenMoneyArrivesLater()
    {
        var refused = await bob.SubmitAsync($"/v1/accounts/{to}/transfers", Order(from, "5.00"), "too-early", 422);
        Assert.Equal("insufficient_funds", refused.Code);
        await alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "50.00"), "rich", 201);
        Assert.Equal(refused.Same, (await bob.SubmitAsync($"/v1/accounts/{to}/transfers", Order(from, "5.00"), "too-early", 422)).Same);
        Assert.Equal("refused", (await bob.FetchAsync($"/v1/transfers/{refused.Text("transferId")}")).Text("status"));
    }

    [Fact]
    public async Task FiftyRequestsWithOneKeyPostOnce()
    {
        var replies = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.00"), "storm", 201)));
        Assert.Single(replies.Select(reply => reply.Same).Distinct());
        Assert.Equal("99.00", (await alice.FetchAsync($"/v1/accounts/{from}/balance")).Text("posted"));
    }

    [Fact]
    public async Task EveryRefusalHasItsCode()
    {
        var dollars = await OpenAsync("B", "bob", "customer", "USD");
        var nobody = AccountNumber.Create("B", AccountKind.Customer, 1).Text;
        var nowhere = AccountNumber.Create("ZZ", AccountKind.Customer, 1).Text;
        foreach (var (payee, amount, currency, expected) in new[]
        {
            (from, "1.00", "EUR", "same_account"), (nobody, "1.00", "EUR", "destination_not_found"), (nowhere, "1.00", "EUR", "destination_not_found"),
            (dollars, "1.00", "EUR", "currency_mismatch"), (to, "1.00", "USD", "currency_mismatch"), (to, "100.01", "EUR", "insufficient_funds"),
        })
        {
            var reply = await alice.SubmitAsync($"/v1/accounts/{from}/transfers", new { to = payee, amount, currency }, $"{expected}-{payee}-{currency}", 422);
            Assert.Equal(expected, reply.Code);
            Assert.StartsWith(from, reply.Text("transferId"), StringComparison.Ordinal);
        }

        Assert.Equal(1, (await alice.FetchAsync($"/v1/accounts/{from}")).Body.GetProperty("version").GetInt64());
    }

    [Fact]
    public async Task ADryRunStoresNothing()
    {
        var good = await alice.SubmitAsync($"/v1/accounts/{from}/transfers?dryRun=true", Order(to, "1.00"), null, 200);
        Assert.False(good.Body.TryGetProperty("id", out _));
        Assert.Equal("99.00", good.Text("balanceAfter"));
        Assert.Equal("insufficient_funds", (await alice.SubmitAsync($"/v1/accounts/{from}/transfers?dryRun=true", Order(to, "100.01"), null, 422)).Code);
        Assert.Equal(0, (await alice.FetchAsync($"/v1/accounts/{from}/transfers")).Body.GetProperty("items").GetArrayLength());
    }

    [Fact]
    public async Task ListsPageWithoutLossWhileRowsAreAdded()
    {
        for (var count = 0; count < 7; count++)
        {
            await alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.00"), $"page-{count}", 201);
        }

        foreach (var (order, expected) in new[] { ("asc", Enumerable.Range(1, 8)), ("desc", Enumerable.Range(1, 8).Reverse()) })
        {
            var versions = new List<int>();
            var path = $"/v1/accounts/{from}/postings?limit=3&order={order}";
            for (var cursor = ""; ;)
            {
                var page = await alice.FetchAsync(cursor.Length == 0 ? path : $"{path}&cursor={cursor}");
                versions.AddRange(page.Body.GetProperty("items").EnumerateArray().Select(item => item.GetProperty("version").GetInt32()));
                if (page.Body.GetProperty("nextCursor").GetString() is not { } next)
                {
                    break;
                }

                cursor = next;
            }

            Assert.Equal(expected, versions);
        }

        Assert.Equal("invalid_cursor", (await alice.FetchAsync($"/v1/accounts/{from}/postings?cursor=xyz", 400)).Code);
        Assert.Equal("validation_failed", (await alice.FetchAsync($"/v1/accounts/{from}/postings?limit=501", 400)).Code);
        var byKey = (await alice.FetchAsync($"/v1/accounts/{from}/transfers?key=page-3")).Body.GetProperty("items");
        Assert.Equal(1, byKey.GetArrayLength());
        Assert.Equal(0, (await alice.FetchAsync($"/v1/accounts/{from}/transfers?status=refused")).Body.GetProperty("items").GetArrayLength());
    }

    [Fact]
    public async Task OpeningHasOneAccountPerKey()
    {
        var order = new { home = "B", holder = "carol", currency = "JPY", kind = "business", labels = new { team = "red" } };
        var first = await op.SubmitAsync("/v1/accounts", order, "open-carol", 201);
        Assert.Equal(("0", "0", "business"), (first.Body.GetProperty("balance").GetProperty("posted").GetString(), first.Body.GetProperty("balance").GetProperty("available").GetString(), first.Text("kind")));
        var replay = await op.SubmitAsync("/v1/accounts", order, "open-carol", 201);
        Assert.Equal(first.Same, replay.Same);
        Assert.Equal("idempotency_key_reused", (await op.SubmitAsync("/v1/accounts", order with { kind = "customer" }, "open-carol", 422)).Code);
        Assert.Equal("unknown_home", (await op.SubmitAsync("/v1/accounts", order with { home = "Q" }, "open-q", 400)).Code);
        Assert.Equal("forbidden", (await alice.SubmitAsync("/v1/accounts", order, "open-alice", 403)).Code);
        Assert.Equal("forbidden", (await alice.SubmitAsync($"/v1/accounts/{from}/transfers", Order(cash, "1.00"), "to-the-bank", 403)).Code);
    }

    [Fact]
    public async Task WhatIsNotYoursIsNotThere()
    {
        var absent = AccountNumber.Create("A", AccountKind.Customer, 2).Text;
        foreach (var path in (string[])["", "/balance", "/postings", "/transfers"])
        {
            var foreign = await bob.FetchAsync($"/v1/accounts/{from}{path}", 404);
            Assert.Equal(("account_not_found", foreign.Same), (foreign.Code, (await bob.FetchAsync($"/v1/accounts/{absent}{path}", 404)).Same));
        }

        Assert.Equal("account_not_found", (await bob.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.00"), "steal", 404)).Code);
        using var auditor = door.ClientOf("auditor", "ledger:read");
        await auditor.FetchAsync($"/v1/accounts/{from}");
        Assert.Equal("forbidden", (await auditor.SubmitAsync($"/v1/accounts/{from}/transfers", Order(to, "1.00"), "audit", 403)).Code);
        using var nobody = door.Client(null);
        Assert.Equal("unauthenticated", (await nobody.FetchAsync($"/v1/accounts/{from}", 401)).Code);
        using var expired = door.Client(door.Token("alice", "accounts:read", TimeSpan.FromSeconds(-60)));
        Assert.Equal("unauthenticated", (await expired.FetchAsync($"/v1/accounts/{from}", 401)).Code);
        using var unsigned = door.Client("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsInNjb3BlIjoib3BlcmF0b3IifQ.");
        Assert.Equal("unauthenticated", (await unsigned.FetchAsync($"/v1/accounts/{from}", 401)).Code);
    }

    [Fact]
    public async Task BadInputIsRefusedByNameAndChangesNothing()
    {
        const string good = "\"currency\":\"EUR\"";
        foreach (var (body, expected) in new[]
        {
            ("", "malformed_request"), ("null", "malformed_request"), ("[]", "malformed_request"), ("{", "malformed_request"), ("{}", "malformed_request"),
            ($$"""{"to":"{{to}}","amount":"1",{{good}},}""", "malformed_request"), ($$"""{"to":"{{to}}","amount":"1",{{good}},"x":1}""", "malformed_request"),
            ($$"""{"to":"{{to}}","amount":"1","amount":"2",{{good}}}""", "malformed_request"), ($$"""{"To":"{{to}}","amount":"1",{{good}}}""", "malformed_request"),
            ($$"""{/**/"to":"{{to}}","amount":"1",{{good}}}""", "malformed_request"), ($$"""{"to":"{{to}}","amount":"1","currency":7}""", "malformed_request"),
            ($$"""{"to":"{{to}}","amount":1,{{good}}}""", "invalid_amount"), ($$"""{"to":"{{to}}","amount":"0",{{good}}}""", "invalid_amount"),
            ($$"""{"to":"{{to}}","amount":"-1",{{good}}}""", "invalid_amount"), ($$"""{"to":"{{to}}","amount":"1.001",{{good}}}""", "invalid_amount"),
            ($$"""{"to":"{{to}}","amount":"1e2",{{good}}}""", "invalid_amount"), ($$"""{"to":"{{to}}","amount":"01",{{good}}}""", "invalid_amount"),
            ($$"""{"to":"{{to}}","amount":"92233720368547758.08",{{good}}}""", "invalid_amount"), ($$"""{"to":"{{to}}","amount":"１",{{good}}}""", "invalid_amount"),
            ($$"""{"to":"{{to}}","amount":"1","currency":"eur"}""", "invalid_currency"), ($$"""{"to":"{{to}}","amount":"1","currency":"XXX"}""", "invalid_currency"),
            ($$"""{"to":"B-CUS-000000000001-00","amount":"1",{{good}}}""", "invalid_account_number"), ($$"""{"to":"' OR 1=1 --","amount":"1",{{good}}}""", "invalid_account_number"),
            ($$"""{"to":"{{to}}","amount":"1",{{good}},"reference":"a\u0000b"}""", "validation_failed"),
            ($$"""{"to":"{{to}}","amount":"1",{{good}},"reference":"{{new string('x', 141)}}"}""", "validation_failed"),
        })
        {
            var reply = await alice.SubmitAsync($"/v1/accounts/{from}/transfers", body, Guid.NewGuid().ToString(), 400);
            Assert.True(expected == reply.Code, $"{body}: expected {expected}, got {reply.Code}");
            Assert.Equal("application/problem+json", reply.Response.Content.Headers.ContentType!.MediaType);
        }

        var order = Order(to, "1.00");
        Assert.Equal("idempotency_key_missing", (await alice.SubmitAsync($"/v1/accounts/{from}/transfers", order, null, 400)).Code);
        Assert.Equal("idempotency_key_invalid", (await alice.SubmitAsync($"/v1/accounts/{from}/transfers", order, new string('k', 129), 400)).Code);
        Assert.Equal("payload_too_large", (await alice.SubmitAsync($"/v1/accounts/{from}/transfers", "\"" + new string('x', 70_000) + "\"", "big", 413)).Code);
        using var text = new StringContent("{}", Encoding.UTF8, new MediaTypeHeaderValue("text/plain"));
        Assert.Equal("unsupported_media_type", (await alice.CallAsync(HttpMethod.Post, $"/v1/accounts/{from}/transfers", text, "text", 415)).Code);
        Assert.Equal("method_not_allowed", (await alice.CallAsync(HttpMethod.Delete, $"/v1/accounts/{from}", null, null, 405)).Code);
        Assert.Equal("not_found", (await alice.FetchAsync("/v1/nothing", 404)).Code);
        Assert.Equal(1, (await alice.FetchAsync($"/v1/accounts/{from}")).Body.GetProperty("version").GetInt64());

        const string sql = "'; DROP TABLE posting; -- \" \\ %_";
        await alice.SubmitAsync($"/v1/accounts/{from}/transfers", new { to, amount = "1.00", currency = "EUR", reference = sql }, "'OR'1'='1", 201);
        Assert.Equal(sql, (await alice.FetchAsync($"/v1/accounts/{from}/postings?order=desc")).Body.GetProperty("items")[0].GetProperty("reference").GetString());
    }

    [Fact]
    public async Task HealthAndDocsAnswerWithoutAToken()
    {
        using var anyone = door.Client(null);
        await anyone.FetchAsync("/healthz/live");
        await anyone.FetchAsync("/healthz/ready");
        var paths = (await anyone.FetchAsync("/openapi/v1.json")).Body.GetProperty("paths").EnumerateObject().Select(path => path.Name).ToList();
        Assert.Contains(paths, path => path.StartsWith("/v1/accounts/{", StringComparison.Ordinal) && path.EndsWith("/transfers", StringComparison.Ordinal));
        foreach (var code in Codes.All)
        {
            await anyone.FetchAsync($"/problems/{Codes.NameOf(code)}");
        }
    }

    private static object Order(string payee, string amount) => new { to = payee, amount, currency = "EUR" };

    private async Task<string> OpenAsync(string home, string holder, string kind, string currency = "EUR") =>
        (await op.SubmitAsync("/v1/accounts", new { home, holder, currency, kind }, Guid.NewGuid().ToString(), 201)).Text("id");
}
