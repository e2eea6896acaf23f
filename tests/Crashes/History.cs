using System.Collections.Concurrent;
using System.Diagnostics;
using Banking.Tests.Servers;
using Banking.Tests.Transfers;

namespace Banking.Tests.Crashes;

/// <summary>
/// What clients saw, and whether the ledger agrees: every acknowledged transfer is on both accounts once, every refused one on
/// none, every answer to a key is the same, and nothing else is in the ledger.
/// </summary>
/// <param name="outcomeTimeMax">How long one sender keeps asking for one outcome.</param>
internal sealed class History(TimeSpan outcomeTimeMax)
{
    private readonly ConcurrentDictionary<string, Sent> sent = new();
    private int unknown;

    public int Count => sent.Count;

    /// <summary>Answers that left the outcome open: an exception, or pending.</summary>
    public int Unknown => unknown;

    public TimeSpan LongestWait => sent.Values.Max(order => order.Waited);

    public IEnumerable<IGrouping<string, Sent>> ByOutcome => sent.Values.GroupBy(order => order.Outcome!.Refusal?.Code.ToString() ?? order.Outcome.Status.ToString());

    /// <summary>Sends one order until it has an outcome, as a careful client does: the same key again after anything that is no outcome.</summary>
    public async Task SendAsync(Bank bank, AccountNumber from, AccountNumber to, long minor, string key)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            TransferOutcome? outcome = null;
            try
            {
                outcome = await bank.TransferAsync(from, to, minor, key).WaitAsync(TimeSpan.FromSeconds(12));
            }
            catch (Exception exception) when (exception is TimeoutException or Orleans.Runtime.OrleansException or OrleansMessageRejectionException or HomeUnavailableException)
            {
                Interlocked.Increment(ref unknown);
            }

            if (outcome is { Status: TransferStatus.Pending })
            {
                Interlocked.Increment(ref unknown);
            }
            else if (outcome is not null && outcome.Refusal?.Code is not (Code.Overloaded or Code.HomeUnavailable))
            {
                var order = new Sent(from, to, minor, key, outcome, Stopwatch.GetElapsedTime(started));
                Assert.Equal(Essence(order.Outcome!), Essence(sent.GetOrAdd(key, order).Outcome!)); // the same key, sent twice at once
                return;
            }

            Assert.True(Stopwatch.GetElapsedTime(started) < outcomeTimeMax, $"{key} of {from} has no outcome after {outcomeTimeMax}; the last answer was {outcome}");
            await Task.Delay(100);
        }
    }

    /// <summary>Sends everything, or a part of it, again and expects the same answers.</summary>
    public async Task ReplayAsync(Bank bank, int every)
    {
        await Parallel.ForEachAsync(sent.Values.Where((_, index) => index % every == 0), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (order, _) =>
        {
            var again = await Retry.UntilTakenAsync(key => bank.TransferAsync(order.From, order.To, order.Minor, key), order.Key);
            Assert.Equal(Essence(order.Outcome!), Essence(again));
        });
    }

    /// <summary>Reads both ledgers by SQL and compares them with what clients were told.</summary>
    /// <param name="bank">The bank.</param>
    /// <param name="only">The accounts that these clients used; null when nobody else used the bank.</param>
    public async Task CheckAsync(Bank bank, AccountNumber[]? only = null)
    {
        var mine = only?.Select(account => account.Text).ToHashSet();
        var posted = new Dictionary<(string Account, string Transfer), long>();
        foreach (var server in (DatabaseServer[])[bank.A, bank.B])
        {
            await server.ReadAsync("bank_home", "SELECT account, transfer_id, amount_minor FROM posting", row =>
            {
                if (mine?.Contains(row.GetString(0)) != false)
                {
                    Assert.True(posted.TryAdd((row.GetString(0), row.GetString(1)), row.GetInt64(2)), $"{row.GetString(1)} is posted twice on {row.GetString(0)}.");
                }
            });
        }

        foreach (var order in sent.Values)
        {
            foreach (var (account, amount) in ((AccountNumber, long)[])[(order.From, -order.Minor), (order.To, order.Minor)])
            {
                var isThere = posted.Remove((account.Text, order.Outcome!.Id), out var found);
                Assert.True(isThere == (order.Outcome.Status == TransferStatus.Posted), $"{order.Outcome.Id} was answered {order.Outcome.Status}, and {(isThere ? "is" : "is not")} posted on {account}.");
                Assert.True(!isThere || found == amount, $"{order.Outcome.Id} has {found} on {account}, it was ordered with {amount}.");
            }
        }

        Assert.Empty(posted);
    }

    /// <summary>What must never change about an answer.</summary>
    private static string Essence(TransferOutcome outcome) =>
        $"{outcome.Status} {outcome.Id} {outcome.Receipt?.PostedText()} {outcome.Refusal?.Code} {outcome.Refusal?.Detail} {outcome.Refusal?.Account}";

    internal sealed record Sent(AccountNumber From, AccountNumber To, long Minor, string Key, TransferOutcome? Outcome, TimeSpan Waited);
}

internal static class Receipts
{
    public static string PostedText(this TransferRecord receipt) =>
        $"{receipt.Number} {receipt.From} {receipt.To} {receipt.Amount} {receipt.DecidedAt:O} {receipt.BalanceAfter}";
}
