using System.Text.Json.Serialization;
using Banking.ClientApi.Http;

namespace Banking.ClientApi.Transfers;

internal sealed record OrderBody(
    string To,
    AmountText Amount,
    string Currency,
    string? Reference = null,
    Dictionary<string, string>? Metadata = null);

internal sealed record PendingBody(string Id, string Status);

/// <summary>A transfer as it is shown. Which members there are depends on where it stands and on who looks.</summary>
internal sealed record TransferBody(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Id,
    string Status,
    string From,
    string To,
    string Amount,
    string Currency,
    string? Reference)
{
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? PostedAt { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? BalanceAfter { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Code { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Detail { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? RefusedAt { get; init; }

    /// <summary>All that the payer sees.</summary>
    public static TransferBody ForPayer(TransferRecord transfer) => Of(transfer) with
    {
        Metadata = transfer.Metadata,
        BalanceAfter = transfer.BalanceAfter?.ToString(),
        Code = transfer.Refusal is { } refusal ? Codes.NameOf(refusal.Code) : null,
        Detail = transfer.Refusal?.Detail,
    };

    /// <summary>What the payee sees of a posted transfer: neither the payer's balance nor the payer's notes.</summary>
    public static TransferBody ForPayee(TransferRecord transfer) => Of(transfer);

    /// <summary>What a dry run shows: nothing was posted, so there is neither id nor time.</summary>
    public static TransferBody ForDryRun(TransferRecord transfer) => ForPayer(transfer) with { Id = null, PostedAt = null };

    public static string NameOf(TransferStatus status) => status switch
    {
        TransferStatus.Pending => "pending",
        TransferStatus.Posted => "posted",
        TransferStatus.Refused => "refused",
        _ => throw new ArgumentOutOfRangeException(nameof(status), status, "Expected a status of transfers."),
    };

    private static TransferBody Of(TransferRecord transfer) => new(
        transfer.Id,
        NameOf(transfer.Status),
        transfer.From.Text,
        transfer.To.Text,
        transfer.Amount.ToString(),
        transfer.Amount.Currency.Code,
        transfer.Reference)
    {
        PostedAt = transfer.Status == TransferStatus.Posted ? Wire.Time(transfer.DecidedAt) : null,
        RefusedAt = transfer.Status == TransferStatus.Refused ? Wire.Time(transfer.DecidedAt) : null,
    };
}
