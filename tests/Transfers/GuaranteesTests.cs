using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using Banking.Tests.Servers;

namespace Banking.Tests.Transfers;

/// <summary>
/// 64 senders over HTTP, two silos, two homes, 100 accounts; a tenth of the requests sent twice at once, a tenth replayed
/// later. Then guarantees 1 to 5 and 7, from what clients saw and from SQL.
/// </summary>
public sealed class GuaranteesTests : IAsyncLifetime
{
    private const int Senders = 64, Accounts = 100, TransfersEach = 30, OverdraftMinor = 50_00;

    private readonly ConcurrentDictionary<string, Sent> answers = new();
    private Bank bank = null!;
    private FrontDoorServer frontDoor = null!;
    private HttpClient http = null!;

    public async ValueTask InitializeAsync()
    {
        bank = await Bank.StartAsync(silos: 2);
        frontDoor = await FrontDoorServer.StartAsync(bank);
        http = frontDoor.ClientOf("operator", "operator");
    }

    public async ValueTask DisposeAsync()
    {
        http.Dispose();
        await frontDoor.DisposeAsync();
        await bank.DisposeAsync();
    }

    [Fact]
    public async Task SixtyFourSendersOverAHundredAccountsKeepTheGuarantees()
    {
        var accounts = await Task.WhenAll(Enumerable.Range(0, Accounts).Select(index =>
            bank.OpenAsync(index % 2 == 0 ? "A" : "B", index % 5 == 0 ? AccountKind.Business : AccountKind.Customer, overdraftMinor: OverdraftMinor)));

        await Task.WhenAll(Enumerable.Range(0, Senders).Select(sender => SendAsync(new Random(sender), accounts)));
        Assert.Equal(Senders * TransfersEach, answers.Count);
        Assert.InRange(answers.Values.Count(sent => sent.Status == HttpStatusCode.Created), answers.Count / 4, answers.Count);
        Assert.Contains(answers.Values, sent => sent.Status == HttpStatusCode.UnprocessableEntity);

        await SameKeySameAnswerAsync();
        await ExactlyOnceInBothAccountsAsync();
        await NoBalanceBelowItsLimitAsync();
        Assert.Empty((await bank.VerifyAsync()).Breaches); // conservation, and the ledger explains the balance
    }

    private async Task SendAsync(Random random, AccountNumber[] accounts)
    {
        for (var count = 0; count < TransfersEach; count++)
        {
            var from = accounts[random.Next(accounts.Length)];
            var to = accounts[random.Next(accounts.Length)];
            var order = new Sent(from, to, random.Next(1, 40_00), Guid.NewGuid().ToString("N"));
            var isTwice = random.Next(10) == 0;
            var bodies = await Task.WhenAll(Enumerable.Range(0, isTwice ? 2 : 1).Select(_ => PostAsync(order)));
            Assert.All(bodies, body => Assert.Equal((bodies[0].Status, bodies[0].Body), (body.Status, body.Body)));
            answers[order.Key] = order with { Status = bodies[0].Status, Body = bodies[0].Body, TransferId = bodies[0].TransferId };
            if (bodies[0].Status == HttpStatusCode.Created && random.Next(10) == 0)
            {
                await ShowsAsync(from, bodies[0].TransferId);
                await ShowsAsync(to, bodies[0].TransferId);
            }
        }
    }

    /// <summary>Guarantee 7: right after the answer both accounts' lists show it, and the balance is that of the newest posting.</summary>
    private async Task ShowsAsync(AccountNumber account, string transferId)
    {
        var balance = await http.GetFromJsonAsync<JsonElement>($"/v1/accounts/{account}/balance");
        var postings = await http.GetFromJsonAsync<JsonElement>($"/v1/accounts/{account}/postings?order=desc&limit=500");
        var items = postings.GetProperty("items").EnumerateArray().ToList();
        Assert.Contains(items, posting => posting.GetProperty("transferId").GetString() == transferId);
        var version = balance.GetProperty("version").GetInt64();
        Assert.True(items[0].GetProperty("version").GetInt64() >= version);
        Assert.Equal(
            balance.GetProperty("posted").GetString(),
            items.Single(posting => posting.GetProperty("version").GetInt64() == version).GetProperty("balanceAfter").GetString());
    }

    /// <summary>Guarantee 4: a tenth is sent again; another payload under the same key is refused by name.</summary>
    private async Task SameKeySameAnswerAsync()
    {
        foreach (var sent in answers.Values.Where((_, index) => index % 10 == 0))
        {
            var replay = await PostAsync(sent);
            Assert.Equal((sent.Status, sent.Body), (replay.Status, replay.Body));
            var other = await PostAsync(sent with { Minor = sent.Minor + 1 });
            Assert.Contains("idempotency_key_reused", other.Body, StringComparison.Ordinal);
        }
    }

    /// <summary>Guarantee 3, from SQL: what was acknowledged is on both accounts once, what was refused on none.</summary>
    private async Task ExactlyOnceInBothAccountsAsync()
    {
        foreach (var server in (DatabaseServer[])[bank.A, bank.B])
        {
            var twice = await server.QueryAsync("bank_home", "SELECT COUNT(*) FROM (SELECT 1 FROM posting GROUP BY account, transfer_id HAVING COUNT(*) > 1) doubled");
            Assert.Equal(0L, twice);
        }

        foreach (var sent in answers.Values)
        {
            var expected = sent.Status == HttpStatusCode.Created ? 1L : 0L;
            foreach (var account in (AccountNumber[])[sent.From, sent.To])
            {
                var found = await bank.ServerOf(account).QueryAsync("bank_home", $"SELECT COUNT(*) FROM posting WHERE account = '{account}' AND transfer_id = '{sent.TransferId}'");
                Assert.Equal(expected, found);
            }
        }
    }

    /// <summary>Guarantee 5, from SQL: not at any posting.</summary>
    private async Task NoBalanceBelowItsLimitAsync()
    {
        foreach (var server in (DatabaseServer[])[bank.A, bank.B])
        {
            Assert.Equal(0L, await server.QueryAsync("bank_home", $"SELECT COUNT(*) FROM posting WHERE balance_after_minor < -{OverdraftMinor}"));
        }
    }

    private async Task<Sent> PostAsync(Sent order)
    {
        for (var attempt = 1; ; attempt++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/v1/accounts/{order.From}/transfers")
            {
                Content = JsonContent.Create(new { to = order.To.Text, amount = (order.Minor / 100m).ToString("0.00", CultureInfo.InvariantCulture), currency = "EUR" }),
                Headers = { { "Idempotency-Key", order.Key } },
            };
            using var response = await http.SendAsync(request);
            var body = await response.Content.ReadAsStringAsync();
            if (response.StatusCode is HttpStatusCode.Created or HttpStatusCode.UnprocessableEntity)
            {
                var fields = JsonSerializer.Deserialize<Dictionary<string, JsonElement>>(body)!;
                fields.Remove("traceId");
                fields.TryGetValue("id", out var id);
                fields.TryGetValue("transferId", out var transferId);
                return order with { Status = response.StatusCode, Body = JsonSerializer.Serialize(fields), TransferId = (id.ValueKind == JsonValueKind.String ? id : transferId).GetString()! };
            }

            Assert.True(response.StatusCode is HttpStatusCode.Accepted or HttpStatusCode.ServiceUnavailable && attempt < 100, $"{response.StatusCode}: {body}");
            await Task.Delay(50);
        }
    }

    private sealed record Sent(AccountNumber From, AccountNumber To, long Minor, string Key)
    {
        public HttpStatusCode Status { get; init; }

        public string Body { get; init; } = "";

        public string TransferId { get; init; } = "";
    }
}
