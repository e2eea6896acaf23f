using Banking.ClientApi.Cluster;
using Banking.ClientApi.Http;
using Microsoft.Extensions.Caching.Memory;

namespace Banking.ClientApi.Access;

/// <summary>
/// Whose an account is. The holder of an account never changes, so it is looked up once and kept: a transfer then
/// costs no second grain call. An account that does not exist is not kept, for it may be opened later.
/// </summary>
internal sealed class Ownership(Bank bank, OwnershipCache cache)
{
    /// <summary>True when the account exists and belongs to the caller, or the caller is allowed every account.</summary>
    public async Task<bool> Allows(Caller caller, bool everything, AccountNumber account) =>
        everything || await HolderOf(account) == caller.Subject;

    /// <summary>The holder; null when there is no such account.</summary>
    public async Task<string?> HolderOf(AccountNumber account)
    {
        if (cache.Holders.TryGetValue(account.Text, out string? holder))
        {
            return holder;
        }

        var found = await bank.Account(account, grain => grain.GetAccount());
        if (found is not null)
        {
            cache.Holders.Set(account.Text, found.Holder, new MemoryCacheEntryOptions { Size = 1 });
        }

        return found?.Holder;
    }

    /// <summary>Absent or not yours: one answer, so that nobody can find out which numbers exist.</summary>
    public static Problem NotFound() => Problem.Of(Code.AccountNotFound, "There is no such account, or it is not yours.");
}

internal sealed class OwnershipCache : IDisposable
{
    /// <summary>About 20 MB when full.</summary>
    private const int EntriesMax = 100_000;

    public MemoryCache Holders { get; } = new(new MemoryCacheOptions { SizeLimit = EntriesMax });

    public void Dispose() => Holders.Dispose();
}
