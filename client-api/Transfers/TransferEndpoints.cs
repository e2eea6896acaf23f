using System.Diagnostics;
using Banking.ClientApi.Access;
using Banking.ClientApi.Cluster;
using Banking.ClientApi.Http;

namespace Banking.ClientApi.Transfers;

/// <summary>Sending money and asking what became of it.</summary>
internal static class TransferEndpoints
{
    public static void MapTransfers(this RouteGroupBuilder v1)
    {
        var transfers = v1.MapGroup("").WithTags("Transfers");
        transfers.MapPost("/accounts/{id}/transfers", Order)
            .Describe("Sends money once; the same key gets the same answer for ever.", key: true, query: ["dryRun"], body: typeof(OrderBody), codes:
            [
                Code.MalformedRequest, Code.ValidationFailed, Code.InvalidAmount, Code.InvalidAccountNumber, Code.InvalidCurrency,
                Code.IdempotencyKeyMissing, Code.IdempotencyKeyInvalid, Code.AccountNotFound, Code.PayloadTooLarge, Code.UnsupportedMediaType,
                Code.IdempotencyKeyReused, Code.TransferAbandoned, Code.SameAccount, Code.DestinationNotFound, Code.CurrencyMismatch,
                Code.AccountClosed, Code.AccountFrozen, Code.LimitExceeded, Code.InsufficientFunds, Code.BalanceOverflow,
            ])
            .Produces<TransferBody>(StatusCodes.Status201Created)
            .Produces<TransferBody>(StatusCodes.Status200OK)
            .Produces<PendingBody>(StatusCodes.Status202Accepted);
        transfers.MapGet("/accounts/{id}/transfers", List)
            .Describe("What the account sent.", query: ["status", "reference", "key", "from", "to", "order", "limit", "cursor"],
                codes: [Code.ValidationFailed, Code.InvalidAccountNumber, Code.InvalidCursor, Code.AccountNotFound])
            .Produces<ListBody<TransferBody>>();
        transfers.MapGet("/transfers/{id}", Get)
            .Describe("A transfer by id.", codes: [Code.TransferNotFound])
            .Produces<TransferBody>();
    }

    private static async Task<IResult> Order(HttpContext http, string id, Bank bank, Ownership ownership)
    {
        var caller = Caller.Of(http);
        var (json, unreadable) = await JsonBody.Read(http.Request);
        if (unreadable is not null)
        {
            return unreadable;
        }

        if (!caller.MayTransfer)
        {
            return Caller.Missing(Scopes.TransfersWrite, Scopes.Operator);
        }

        if (!JsonBody.TryParse<OrderBody>(json, out var body, out var malformed))
        {
            return malformed;
        }

        var checks = new Checks();
        var source = checks.Account("id", id);
        var dryRun = ReadDryRun(http.Request, checks);
        var order = Read(body, IdempotencyKey.Read(http.Request, checks, required: !dryRun), caller, checks);
        if (checks.Problem() is { } wrong)
        {
            return wrong;
        }

        // Not in the order of the other checks, since it needs the body: the number tells the kind without a look-up.
        if (!caller.IsOperator && (source.Kind == AccountKind.Internal || order.To.Kind == AccountKind.Internal))
        {
            return Problem.Of(Code.Forbidden, "Only operators debit or credit internal accounts by a transfer.");
        }

        if (!await ownership.Allows(caller, caller.IsOperator, source))
        {
            return Ownership.NotFound();
        }

        return dryRun ? await Try(http, bank, source, order) : await Send(http, bank, source, order);
    }

    private static async Task<IResult> Send(HttpContext http, Bank bank, AccountNumber source, TransferOrder order)
    {
        try
        {
            var outcome = await bank.Transfers(source, grain => grain.Transfer(order));
            return Answer(http, outcome);
        }
        catch (NoAnswerException)
        {
            // It may have been posted or may never run: the same key gets the truth.
            return Pending(http, TransferId.Of(source, order.Key).Text);
        }
    }

    private static async Task<IResult> Try(HttpContext http, Bank bank, AccountNumber source, TransferOrder order)
    {
        // The grain wants a key; one that was used before would be answered with its old outcome.
        var key = order.Key.Length > 0 ? order.Key : $"dry-run:{Activity.Current?.TraceId.ToHexString() ?? http.TraceIdentifier}";
        var outcome = await bank.Transfers(source, grain => grain.DryRun(order with { Key = key }));
        return outcome switch
        {
            { Refusal: { } refusal } => new Problem(refusal),
            { Receipt: { } receipt } => TypedResults.Json(TransferBody.ForDryRun(receipt), Wire.Json),
            _ => throw new InvalidOperationException($"Expected a refusal or a receipt of a dry run on {source.Masked}, got neither."),
        };
    }

    private static async Task<IResult> List(HttpContext http, string id, Bank bank, Ownership ownership)
    {
        var caller = Caller.Of(http);
        if (!caller.MayRead)
        {
            return Caller.Missing(Scopes.AccountsRead, Scopes.LedgerRead, Scopes.Operator);
        }

        var checks = new Checks();
        var number = checks.Account("id", id);
        var query = ListQuery.Read(http.Request, $"transfers {id}", ["status", "reference", "key"], checks);
        var filter = ReadFilter(query, checks);
        if (checks.Problem() is { } wrong)
        {
            return wrong;
        }

        if (!await ownership.Allows(caller, caller.MayReadAll, number))
        {
            return Ownership.NotFound();
        }

        var page = await bank.Transfers(number, grain => grain.GetTransfers(query.Page, filter));
        return page is null ? Ownership.NotFound() : TypedResults.Json(query.Answer(page, TransferBody.ForPayer), Wire.Json);
    }

    private static async Task<IResult> Get(HttpContext http, string id, Bank bank, Ownership ownership)
    {
        var caller = Caller.Of(http);
        if (!caller.MayRead)
        {
            return Caller.Missing(Scopes.AccountsRead, Scopes.LedgerRead, Scopes.Operator);
        }

        if (TransferId.TryParse(id, out var transferId) &&
            await bank.Transfers(transferId.Source, grain => grain.GetTransfer(id)) is { } transfer)
        {
            if (await ownership.Allows(caller, caller.MayReadAll, transfer.From))
            {
                return TypedResults.Json(TransferBody.ForPayer(transfer), Wire.Json);
            }

            if (transfer.Status == TransferStatus.Posted && await ownership.HolderOf(transfer.To) == caller.Subject)
            {
                return TypedResults.Json(TransferBody.ForPayee(transfer), Wire.Json);
            }
        }

        return Problem.Of(Code.TransferNotFound, "There is no such transfer, or it is not yours. Not found proves nothing while one may be under way: send it with the same key.");
    }

    private static TransferOrder Read(OrderBody body, string key, Caller caller, Checks checks)
    {
        var to = checks.Account("to", body.To);
        var currency = checks.Currency("currency", body.Currency);
        var amount = checks.Amount("amount", body.Amount, currency, zeroAllowed: false);
        checks.Text("reference", Texts.CheckReference(body.Reference));
        checks.Text("metadata", Texts.CheckPairs("metadata", body.Metadata));
        return new TransferOrder(key, to, amount, caller.Subject, body.Reference, body.Metadata);
    }

    private static bool ReadDryRun(HttpRequest request, Checks checks)
    {
        var text = Query.Read(request, "dryRun", checks);
        if (text is not (null or "true" or "false"))
        {
            checks.Add(Code.ValidationFailed, "dryRun", "Expected true or false.");
        }

        return text == "true";
    }

    private static TransferFilter ReadFilter(ListQuery query, Checks checks)
    {
        TransferStatus? status = query["status"] switch
        {
            "pending" => TransferStatus.Pending,
            "posted" => TransferStatus.Posted,
            "refused" => TransferStatus.Refused,
            _ => null,
        };
        if (status is null && query["status"] is not null)
        {
            checks.Add(Code.ValidationFailed, "status", "Expected pending, posted or refused.");
        }

        checks.Text("reference", Texts.CheckReference(query["reference"]));
        checks.Text("key", query["key"] is { } key ? Texts.CheckKey(key) : null);
        return new TransferFilter(status, query["reference"], query["key"]);
    }

    private static IResult Answer(HttpContext http, TransferOutcome outcome)
    {
        switch (outcome)
        {
            case { Refusal: { } refusal }:
                return new Problem(refusal with { Replayed = refusal.Replayed || outcome.Replayed });
            case { Status: TransferStatus.Pending }:
                return Pending(http, outcome.Id);
            case { Receipt: { } receipt }:
                if (outcome.Replayed)
                {
                    Replay.Mark(http.Response);
                }

                http.Response.Headers.Location = $"/v1/transfers/{receipt.Id}";
                return TypedResults.Json(TransferBody.ForPayer(receipt), Wire.Json, statusCode: StatusCodes.Status201Created);
            default:
                throw new InvalidOperationException($"Expected a receipt of posted transfer {outcome.Id}, got none.");
        }
    }

    private static IResult Pending(HttpContext http, string id)
    {
        http.Response.Headers.Location = $"/v1/transfers/{id}";
        http.Response.Headers.RetryAfter = "1";
        return TypedResults.Json(new PendingBody(id, TransferBody.NameOf(TransferStatus.Pending)), Wire.Json, statusCode: StatusCodes.Status202Accepted);
    }
}
