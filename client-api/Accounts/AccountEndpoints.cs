using Banking.ClientApi.Access;
using Banking.ClientApi.Cluster;
using Banking.ClientApi.Http;

namespace Banking.ClientApi.Accounts;

/// <summary>Opening accounts and looking at them. Each call checks in the order of the contract: scope (403), fields (400), ownership (404).</summary>
internal static class AccountEndpoints
{
    public static void MapAccounts(this RouteGroupBuilder v1)
    {
        var accounts = v1.MapGroup("").WithTags("Accounts");
        accounts.MapPost("/accounts", Open)
            .Describe("Opens an account with balance zero.", key: true, body: typeof(OpeningBody), codes:
            [
                Code.MalformedRequest, Code.ValidationFailed, Code.InvalidAmount, Code.InvalidCurrency, Code.UnknownHome, Code.IdempotencyKeyMissing,
                Code.IdempotencyKeyInvalid, Code.PayloadTooLarge, Code.UnsupportedMediaType, Code.RequestInProgress, Code.IdempotencyKeyReused,
            ])
            .Produces<AccountBody>(StatusCodes.Status201Created);
        accounts.MapGet("/accounts/{id}", Get)
            .Describe("An account with its balance.", codes: [Code.InvalidAccountNumber, Code.AccountNotFound])
            .Produces<AccountBody>();
        accounts.MapGet("/accounts/{id}/balance", GetBalance)
            .Describe("The balance, after everything that was answered before.", codes: [Code.ValidationFailed, Code.InvalidAccountNumber, Code.AccountNotFound])
            .Produces<BalanceBody>();
        accounts.MapGet("/accounts/{id}/postings", GetPostings)
            .Describe("The postings in the order of their versions.", query: ["from", "to", "order", "limit", "cursor"],
                codes: [Code.ValidationFailed, Code.InvalidAccountNumber, Code.InvalidCursor, Code.AccountNotFound])
            .Produces<ListBody<PostingBody>>();
    }

    private static async Task<IResult> Open(HttpContext http, Bank bank)
    {
        var caller = Caller.Of(http);
        var (json, unreadable) = await JsonBody.Read(http.Request);
        if (unreadable is not null)
        {
            return unreadable;
        }

        if (!caller.IsOperator)
        {
            return Caller.Missing(Scopes.Operator);
        }

        if (!JsonBody.TryParse<OpeningBody>(json, out var body, out var malformed))
        {
            return malformed;
        }

        var checks = new Checks();
        var opening = Read(body, caller, IdempotencyKey.Read(http.Request, checks), checks);
        if (checks.Problem() is { } wrong)
        {
            return wrong;
        }

        try
        {
            var answer = await bank.Home(body.Home, home => home.OpenAccount(opening));
            return answer.IsValue ? Opened(http, answer.Value) : new Problem(answer.Refusal);
        }
        catch (NoAnswerException)
        {
            return Problem.Of(Code.RequestInProgress, "The account may have been opened; send the same request with the same key to know.");
        }
    }

    private static async Task<IResult> Get(HttpContext http, string id, Bank bank) => await Look(http, id, bank, account =>
    {
        Tag(http, account);
        return TypedResults.Json(AccountBody.Of(account), Wire.Json);
    });

    private static async Task<IResult> GetBalance(HttpContext http, string id, Bank bank, TimeProvider time)
    {
        var at = time.GetUtcNow().UtcDateTime;
        return await Look(http, id, bank, account => TypedResults.Json(BalanceBody.Of(account, at), Wire.Json), checks =>
        {
            if (http.Request.Query.ContainsKey("at"))
            {
                checks.Add(Code.ValidationFailed, "at", "Balances in the past cannot be asked for yet; leave it out, or use balanceAfter of the postings.");
            }
        });
    }

    private static async Task<IResult> GetPostings(HttpContext http, string id, Bank bank, Ownership ownership)
    {
        var caller = Caller.Of(http);
        if (!caller.MayRead)
        {
            return Caller.Missing(Scopes.AccountsRead, Scopes.LedgerRead, Scopes.Operator);
        }

        var checks = new Checks();
        var number = checks.Account("id", id);
        var query = ListQuery.Read(http.Request, $"postings {id}", [], checks);
        if (checks.Problem() is { } wrong)
        {
            return wrong;
        }

        if (!await ownership.Allows(caller, caller.MayReadAll, number))
        {
            return Ownership.NotFound();
        }

        var page = await bank.Account(number, account => account.GetPostings(query.Page));
        return page is null ? Ownership.NotFound() : TypedResults.Json(query.Answer(page, PostingBody.Of), Wire.Json);
    }

    private static async Task<IResult> Look(HttpContext http, string id, Bank bank, Func<Account, IResult> answer, Action<Checks>? more = null)
    {
        var caller = Caller.Of(http);
        if (!caller.MayRead)
        {
            return Caller.Missing(Scopes.AccountsRead, Scopes.LedgerRead, Scopes.Operator);
        }

        var checks = new Checks();
        var number = checks.Account("id", id);
        more?.Invoke(checks);
        if (checks.Problem() is { } wrong)
        {
            return wrong;
        }

        var account = await bank.Account(number, grain => grain.GetAccount());
        return account is not null && (caller.MayReadAll || account.Holder == caller.Subject) ? answer(account) : Ownership.NotFound();
    }

    private static AccountOpening Read(OpeningBody body, Caller caller, string key, Checks checks)
    {
        if (!AccountNumber.IsHomeName(body.Home))
        {
            checks.Add(Code.UnknownHome, "home", "Expected the name of a home such as A.");
        }

        checks.Text("holder", Texts.CheckHolder(body.Holder));
        checks.Text("labels", Texts.CheckPairs("labels", body.Labels));
        var currency = checks.Currency("currency", body.Currency);
        var kind = Kinds.Parse(body.Kind);
        if (kind is null)
        {
            checks.Add(Code.ValidationFailed, "kind", "Expected customer, business or internal.");
        }

        long overdraftLimitMinor = 0;
        if (body.OverdraftLimit is { } limit)
        {
            overdraftLimitMinor = checks.Amount("overdraftLimit", limit, currency, zeroAllowed: true).MinorUnits;
            if (kind == AccountKind.Internal)
            {
                checks.Add(Code.ValidationFailed, "overdraftLimit", "Expected none on an internal account, which may be negative without limit.");
            }
        }

        return new AccountOpening(caller.Subject, key, body.Holder, currency ?? default, kind ?? default, overdraftLimitMinor, body.Labels);
    }

    private static IResult Opened(HttpContext http, OpenedAccount opened)
    {
        if (opened.Replayed)
        {
            Replay.Mark(http.Response);
        }

        Tag(http, opened.Account);
        http.Response.Headers.Location = $"/v1/accounts/{opened.Account.Number}";
        return TypedResults.Json(AccountBody.Of(opened.Account), Wire.Json, statusCode: StatusCodes.Status201Created);
    }

    private static void Tag(HttpContext http, Account account) => http.Response.Headers.ETag = $"\"{account.SettingsVersion}\"";
}
