using System.Diagnostics;
using Banking.Tests.Crashes;
using Banking.Tests.Servers;
using Microsoft.Extensions.DependencyInjection;

namespace Banking.Tests.Verification;

/// <summary>
/// The checks can fail: with none of the bugs they find nothing, with each one at least one of them finds it. One bank serves all;
/// every bug gets accounts of its own.
/// </summary>
public sealed class SeededBugTests(SeededBugTests.Fixture fixture) : IClassFixture<SeededBugTests.Fixture>
{
    /// <summary>Opposite transfers wait for each other only where legs do not follow the lock order; a lock is held for three seconds then.</summary>
    private static readonly TimeSpan StallTime = BankingGrains.Lease;

    [Theory]
    [InlineData(Bug.None, null)]
    [InlineData(Bug.SkipTheCredit, "expected it once on")]
    [InlineData(Bug.CreditTwice, "posted twice")]
    [InlineData(Bug.ForgetTheTombstone, "outcome")]
    [InlineData(Bug.DropTheStoredRefusal, "outcome")]
    [InlineData(Bug.LoseAPosting, "expected posting")]
    [InlineData(Bug.BreakTheChain, "hash")]
    [InlineData(Bug.RunTheLegsInParallel, "waited for each other")]
    [InlineData(Bug.LegsInTransactionsOfTheirOwn, "was answered Posted, and is not posted on B-CUS")]
    [InlineData(Bug.OverflowTheBalance, "balance")]
    [InlineData(Bug.ServeAStaleRead, "was answered and does not show")]
    [InlineData(Bug.ReorderVersions, "hash")]
    [InlineData(Bug.AnswerBeforeTheCommit, "is not posted")]
    public async Task EverySeededBugIsFound(Bug bug, string? expected)
    {
        var findings = await fixture.RunAsync(bug);
        if (expected is null)
        {
            Assert.Empty(findings);
        }
        else
        {
            Assert.True(findings.Exists(finding => finding.Contains(expected, StringComparison.Ordinal)), $"Expected '{expected}', found:\n{string.Join('\n', findings)}");
        }
    }

    public sealed class Fixture : IAsyncLifetime
    {
        private readonly SeededBugs seeded = new();
        private Bank bank = null!;

        public async ValueTask InitializeAsync()
        {
            bank = await Bank.StartAsync(silos: 0);
            await bank.AddSiloAsync(builder => builder.Services
                .AddSingleton(seeded.Seams)
                .AddSingleton<IOutgoingGrainCallFilter>(seeded)
                .AddSingleton<IIncomingGrainCallFilter>(seeded));
            seeded.Grains = bank.Grains;
        }

        public ValueTask DisposeAsync() => bank.DisposeAsync();

        /// <summary>The same small workload under each bug, then every check; gives what they found.</summary>
        public async Task<List<string>> RunAsync(Bug bug)
        {
            // The payer decides: it is a business, the payees are customers of the other home.
            var payer = await bank.OpenAsync("A", AccountKind.Business, overdraftMinor: 100_00);
            var payees = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => bank.OpenAsync("B", AccountKind.Customer, overdraftMinor: 100_00)));
            await bank.GetAsync(payer);
            var findings = new List<string>();
            var history = new History(TimeSpan.FromSeconds(12));
            seeded.Bug = bug == Bug.AnswerBeforeTheCommit ? Bug.None : bug; // that one breaks so much that it is put in for one transfer only
            try
            {
                await SendAsync(bug, history, findings, payer, payees);
            }
            catch (Exception exception) when (exception is Xunit.Sdk.IAssertionException or HomeUnavailableException or TimeoutException)
            {
                findings.Add(exception.Message);
            }

            seeded.Bug = Bug.None;
            await CheckAsync(history, findings, [payer, .. payees]);
            return findings;
        }

        private async Task SendAsync(Bug bug, History history, List<string> findings, AccountNumber payer, AccountNumber[] payees)
        {
            var started = Stopwatch.GetTimestamp();
            try
            {
                await Task.WhenAll(Enumerable.Range(0, 24).Select(index => index % 2 == 0
                    ? history.SendAsync(bank, payer, payees[index % 3], 1_00, $"out-{index}")
                    : history.SendAsync(bank, payees[index % 3], payer, 50, $"back-{index}")));
            }
            finally
            {
                if (Stopwatch.GetElapsedTime(started) > StallTime)
                {
                    findings.Add("Opposite transfers waited for each other until a lock timed out.");
                }
            }

            var before = await bank.GetAsync(payees[0]);
            await history.SendAsync(bank, payer, payees[0], 7, "shows");
            if ((await bank.GetAsync(payees[0])).Version == before.Version)
            {
                findings.Add("A transfer was answered and does not show.");
            }

            await history.SendAsync(bank, payer, payees[0], 1_000_00, "too-much");
            var absent = AccountNumber.Create("B", AccountKind.Customer, 1);
            await history.SendAsync(bank, payer, absent, 1, "nobody");
            if (bug == Bug.ForgetTheTombstone)
            {
                await FailTheCommitAsync(history, payer, payees[0]);
            }

            if (bug == Bug.AnswerBeforeTheCommit)
            {
                await AnswerTooEarlyAsync(history, payer, payees[0]);
            }
        }

        /// <summary>The payee's home hangs, its prepare is reported as done, and then the home dies.</summary>
        private async Task AnswerTooEarlyAsync(History history, AccountNumber payer, AccountNumber payee)
        {
            seeded.Bug = Bug.AnswerBeforeTheCommit;
            bank.B.Pause();
            try
            {
                await history.SendAsync(bank, payer, payee, 3, "too-early");
            }
            finally
            {
                seeded.Bug = Bug.None;
                await bank.B.KillAsync();
                await bank.B.StartAsync();
            }
        }

        /// <summary>The home of the account that decides breaks every commit for a while; the outcome is unknown and must be settled.</summary>
        private async Task FailTheCommitAsync(History history, AccountNumber payer, AccountNumber payee)
        {
            var decides = await bank.OpenAsync("B", AccountKind.Internal);
            seeded.BreakHome = "B";
            var sending = history.SendAsync(bank, payer, decides, 5, "unknown");
            await Task.WhenAny(sending, Task.Delay(TimeSpan.FromSeconds(3)));
            seeded.BreakHome = null;
            await sending;
        }

        private async Task CheckAsync(History history, List<string> findings, AccountNumber[] accounts)
        {
            await bank.UntilSettledAsync(TimeSpan.FromSeconds(20));
            foreach (var check in (Func<Task>[])[() => history.CheckAsync(bank, accounts), () => history.ReplayAsync(bank, every: 1)])
            {
                try
                {
                    await check();
                }
                catch (Exception exception) when (exception is Xunit.Sdk.IAssertionException)
                {
                    findings.Add(exception.Message);
                }
            }

            var report = await bank.VerifyAsync(new FastTime());
            findings.AddRange(report.Breaches.Where(breach => accounts.Any(account => breach.Contains(account.Text, StringComparison.Ordinal))));
        }
    }
}
