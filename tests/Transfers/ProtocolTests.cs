using System.Collections.Concurrent;
using System.Diagnostics;
using Banking.Accounts;
using Banking.Homes;
using Banking.Tests.Servers;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Core.Internal;
using Orleans.Runtime;

namespace Banking.Tests.Transfers;

/// <summary>The rules of a transfer (docs/engine.md, sections 5 and 6), with seams that hold or break the commits of a home.</summary>
public sealed class ProtocolTests(ProtocolTests.Fixture fixture) : IClassFixture<ProtocolTests.Fixture>
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private Bank Bank => fixture.Bank;

    /// <summary>5.1: retries of one key join one execution, or find its outcome, through whichever silo they come.</summary>
    [Fact]
    public async Task AStormOfDuplicatesMovesMoneyOnceForEachKey()
    {
        var (payer, payee) = await OpenAsync(AccountKind.Customer, AccountKind.Customer);
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 1_000).Select(index =>
            Retry.UntilTakenAsync(key => Bank.TransferAsync(payer, payee, 1, key, through: index % 2), $"storm-{index % 20}")));
        Assert.Equal(20, outcomes.Select(outcome => (outcome.Id, outcome.Receipt!.Number, outcome.Receipt.BalanceAfter)).Distinct().Count());
        Assert.Equal(20, (await Bank.GetAsync(payee)).Version);
        Assert.Equal(20, (await Bank.GetAsync(payer)).Version);
    }

    /// <summary>5.2: the account that is last in the lock order decides, whichever pays.</summary>
    [Theory]
    [InlineData(AccountKind.Customer, AccountKind.Internal)]
    [InlineData(AccountKind.Internal, AccountKind.Customer)]
    [InlineData(AccountKind.Business, AccountKind.Customer)]
    public async Task TheLastAccountInTheLockOrderDecides(AccountKind paying, AccountKind receiving)
    {
        var (payer, payee) = await OpenAsync(paying, receiving);
        await PostAsync(payer, payee);
        var (prepares, decides) = payer.CompareTo(payee) < 0 ? (payer, payee) : (payee, payer);
        var prepare = Assert.Single(fixture.Writes, write => write.Key == prepares.Text && write.NewPending.Count > 0);
        Assert.Contains(decides.Text, (string)prepare.NewPending[0][4]!, StringComparison.Ordinal);
        Assert.DoesNotContain(fixture.Writes, write => write.Key == decides.Text && write.NewPending.Count > 0);
    }

    /// <summary>5.5: what is in flight shows as prepared; commit makes it posted.</summary>
    [Fact]
    public async Task ATransferInFlightShowsAsPreparedUntilItIsPosted()
    {
        var (payer, payee) = await OpenAsync(AccountKind.Customer, AccountKind.Business);
        using var hold = fixture.Hold("B", payee);
        var sending = Bank.TransferAsync(payer, payee, 1_00, "held");
        await hold.Reached.WaitAsync(Patience);
        Assert.Equal("prepared", await StatusAsync(payer));
        hold.Dispose();
        Assert.Equal(TransferStatus.Posted, (await sending).Status);
        await Bank.GetAsync(payer);
        Assert.Equal("posted", await StatusAsync(payer));
    }

    /// <summary>5.6: an outcome that a failure left unknown is never sent again; it is found, or a tombstone takes its place for ever.</summary>
    [Fact]
    public async Task AnUnknownOutcomeIsSettledOnceForAll()
    {
        var (payer, payee) = await OpenAsync(AccountKind.Customer, AccountKind.Business);
        TransferOutcome settled;
        using (fixture.Break("B", payee))
        {
            var sending = Bank.TransferAsync(payer, payee, 1_00, "unknown");
            await fixture.UntilAsync(() => fixture.Broken(payee) >= 1);
            settled = await sending;
        }

        settled = await Retry.UntilTakenAsync(key => Bank.TransferAsync(payer, payee, 1_00, key), "unknown");
        Assert.Equal(Code.TransferAbandoned, settled.Refusal?.Code);
        var again = await Bank.TransferAsync(payer, payee, 1_00, "unknown");
        Assert.Equal((TransferStatus.Refused, Code.TransferAbandoned, true), (again.Status, again.Refusal!.Code, again.Replayed));
        Assert.Equal(0, (await Bank.GetAsync(payee)).Version);
        await PostAsync(payer, payee);
    }

    /// <summary>5.4: a refusal seen in a leg may rest on a state that aborts; then the transfer must go through.</summary>
    [Fact]
    public async Task ARefusalThatRestsOnWhatAbortsIsNotFinal()
    {
        var (payer, payee) = await OpenAsync(AccountKind.Customer, AccountKind.Business, overdraftMinor: 1_00);
        var other = await Bank.OpenAsync("A", AccountKind.Business);
        Task<TransferOutcome> large, small;
        using (var broken = fixture.Break("B", payee, held: true))
        {
            large = Bank.TransferAsync(payer, payee, 80, "large");
            await broken.Reached.WaitAsync(Patience);
            small = Bank.TransferAsync(payer, other, 50, "small"); // in its leg only 20 are left
            await fixture.UntilAsync(() => fixture.HasAsked("small"));
            broken.Release();
            await fixture.UntilAsync(() => fixture.Broken(payee) >= 1);
        }

        var outcome = await Retry.UntilTakenAsync(key => Bank.TransferAsync(payer, other, 50, key), "small");
        var first = await Retry.UntilTakenAsync(key => Bank.TransferAsync(payer, payee, 80, key), "large");
        await Task.WhenAll(large, small);
        Assert.Equal(Code.TransferAbandoned, first.Refusal?.Code);
        Assert.Equal(TransferStatus.Posted, outcome.Status);
        Assert.Equal(-50, (await Bank.GetAsync(payer)).Posted.MinorUnits);
    }

    /// <summary>Upstream #7757, #9825: a transaction that fails must not make the next one on the same accounts fail.</summary>
    [Fact]
    public async Task AFailedTransactionDoesNotPoisonTheNext()
    {
        var (payer, payee) = await OpenAsync(AccountKind.Customer, AccountKind.Business, overdraftMinor: 10_00);
        for (var round = 0; round < 10; round++)
        {
            var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(index =>
                Bank.TransferAsync(payer, payee, index % 2 == 0 ? 1 : 1_000_00, $"poison-{round}-{index}")));
            Assert.All(outcomes.Where((_, index) => index % 2 == 0), outcome => Assert.Equal(TransferStatus.Posted, outcome.Status));
            Assert.All(outcomes.Where((_, index) => index % 2 == 1), outcome => Assert.Equal(Code.InsufficientFunds, outcome.Refusal?.Code));
        }

        Assert.Equal(40, (await Bank.GetAsync(payee)).Version);
    }

    /// <summary>A transaction whose caller never comes back loses its lock after the lease; who waits goes on, and nothing of it is posted.</summary>
    [Fact]
    public async Task ABrokenLockFreesTheAccountAndPostsNothing()
    {
        var (payer, payee) = await OpenAsync(AccountKind.Customer, AccountKind.Business);
        await PostAsync(payer, payee);
        var holding = Bank.Grains.GetGrain<IHoldingGrain>(0).PostAndHold(Fixture.Credit(payee, payer, "holder"), (BankingGrains.Lease * 2).TotalMilliseconds);
        await Task.Delay(100); // whoever is first, both must come out right
        var clock = Stopwatch.StartNew();
        var outcome = await Retry.UntilTakenAsync(key => Bank.TransferAsync(payer, payee, 1, key));
        Assert.Equal(TransferStatus.Posted, outcome.Status);
        Assert.True(clock.Elapsed < BankingGrains.Lease * 2, $"The account was blocked for {clock.Elapsed.TotalSeconds:F1} s.");
        await Assert.ThrowsAnyAsync<Orleans.Transactions.OrleansTransactionException>(() => holding);
        Assert.Equal(2, (await Bank.GetAsync(payee)).Version);
    }

    /// <summary>Section 7: an activation that leaves takes no messages, also not the decision that its own commits wait behind.</summary>
    [Fact]
    public async Task AnAccountThatLeavesWhileItsQueueWaitsForADecisionIsFreeAgain()
    {
        var customers = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00)));
        var (first, leaving) = customers[0].CompareTo(customers[1]) < 0 ? (customers[0], customers[1]) : (customers[1], customers[0]);
        var decides = await Bank.OpenAsync("B", AccountKind.Business);
        Task<TransferOutcome> prepared, behind;
        using (var hold = fixture.Hold("B", decides))
        {
            prepared = Bank.TransferAsync(leaving, decides, 1_00, "prepared");
            await hold.Reached.WaitAsync(Patience);
            behind = Bank.TransferAsync(first, leaving, 1_00, "behind"); // the leaving account decides it, once the first one is decided
            await fixture.UntilAsync(() => fixture.Writes.Any(write => write.Key == first.Text && write.NewPending.Count > 0));
            await ((IAddressable)Bank.Grains.GetGrain<IAccountGrain>(leaving.Text)).AsReference<IGrainManagementExtension>().DeactivateOnIdle();
        }

        var clock = Stopwatch.StartNew();
        await Bank.UntilSettledAsync(TimeSpan.FromSeconds(20));
        Measured.Say($"an account that left with a queue: free {clock.Elapsed.TotalSeconds:F1} s later");
        await Task.WhenAll(prepared, behind);
        var next = await Retry.UntilTakenAsync(key => Bank.TransferAsync(leaving, decides, 1, key));
        Assert.Equal(TransferStatus.Posted, next.Status);
        Assert.Equal(TransferStatus.Posted, (await Retry.UntilTakenAsync(key => Bank.TransferAsync(leaving, decides, 1_00, key), "prepared")).Status);
    }

    /// <summary>Section 6: more transfers than an account can finish before they all time out are refused at once, and nothing else is lost.</summary>
    [Fact]
    public async Task AnAccountThatIsSentTooMuchRefusesTheRestAndFinishesWhatItTook()
    {
        var hot = await Bank.OpenAsync("A", AccountKind.Customer); // first in the lock order: one commit at a time
        var payers = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Bank.OpenAsync("B", AccountKind.Business, overdraftMinor: 1_000_00)));
        var clock = Stopwatch.StartNew();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 3_000).Select(index => Bank.TransferAsync(payers[index % 50], hot, 1, $"flood-{index}", through: index % 2)));
        var posted = outcomes.Count(outcome => outcome.Status == TransferStatus.Posted);
        Measured.Say($"flood: {posted} of {outcomes.Length} posted, {outcomes.Count(outcome => outcome.Refusal?.Code == Code.Overloaded)} overloaded, {outcomes.Count(outcome => outcome.Status == TransferStatus.Pending)} pending, in {clock.Elapsed.TotalSeconds:F1} s");
        Assert.DoesNotContain(outcomes, outcome => outcome.Refusal is { Code: not Code.Overloaded });
        Assert.True(posted >= 100, $"Only {posted} were posted.");
        Assert.DoesNotContain(outcomes, outcome => outcome.Status == TransferStatus.Pending);
        Assert.Equal(posted, (await Bank.GetAsync(hot)).Version);
    }

    private async Task<(AccountNumber Payer, AccountNumber Payee)> OpenAsync(AccountKind paying, AccountKind receiving, long overdraftMinor = 100_00) =>
        (await Bank.OpenAsync("A", paying, overdraftMinor: paying == AccountKind.Internal ? 0 : overdraftMinor), await Bank.OpenAsync("B", receiving));

    private async Task PostAsync(AccountNumber payer, AccountNumber payee)
    {
        var outcome = await Retry.UntilTakenAsync(key => Bank.TransferAsync(payer, payee, 1, key));
        Assert.Equal(TransferStatus.Posted, outcome.Status);
    }

    private async Task<string?> StatusAsync(AccountNumber payer) =>
        (string?)await Bank.A.QueryAsync("bank_home", $"SELECT status FROM transfer WHERE source = '{payer}'");

    public sealed class Fixture : IAsyncLifetime
    {
        private readonly ConcurrentDictionary<(string Home, string Account), Gate> gates = new();
        private readonly ConcurrentDictionary<string, int> broken = new();
        private readonly ConcurrentBag<string> asked = [];

        internal Bank Bank { get; private set; } = null!;

        /// <summary>Every write since the start.</summary>
        internal ConcurrentQueue<StoreOperation> Writes { get; } = new();

        public async ValueTask InitializeAsync()
        {
            Bank = await Bank.StartAsync(silos: 0);
            var seams = new HomeSeams
            {
                Rewrite = store =>
                {
                    Writes.Enqueue(store);
                    return store;
                },
                Locked = LockedAsync,
            };
            for (var silo = 0; silo < 2; silo++)
            {
                await Bank.AddSiloAsync(builder => builder.Services.AddSingleton(seams).AddSingleton<IIncomingGrainCallFilter>(new LegCalls(asked)));
            }
        }

        public ValueTask DisposeAsync() => Bank.DisposeAsync();

        /// <summary>Holds the commits of an account until disposed.</summary>
        internal Gate Hold(string home, AccountNumber account) => gates[(home, account.Text)] = new Gate(() => gates.TryRemove((home, account.Text), out _), breaks: false);

        /// <summary>Fails the commits of an account in a way that leaves their outcome open, until disposed.</summary>
        internal Gate Break(string home, AccountNumber account, bool held = false)
        {
            var gate = new Gate(() => gates.TryRemove((home, account.Text), out _), breaks: true);
            if (!held)
            {
                gate.Release();
            }

            return gates[(home, account.Text)] = gate;
        }

        internal int Broken(AccountNumber account) => broken.GetValueOrDefault(account.Text);

        /// <summary>Whether a leg of the order with this key was called.</summary>
        internal bool HasAsked(string key) => asked.Contains(key);

        internal async Task UntilAsync(Func<bool> holds)
        {
            var clock = Stopwatch.StartNew();
            while (!holds())
            {
                Assert.True(clock.Elapsed < Patience, "It did not come to pass in time.");
                await Task.Delay(20);
            }
        }

        internal static TransferLeg Credit(AccountNumber payee, AccountNumber payer, string key) => new(
            payee, 5, TransferId.Of(payer, key).Text, payer, new TransferOrder(key, payee, new Money(5, Currency.Parse("EUR")), "tests"), null);

        private async Task LockedAsync(string home, IReadOnlyList<HomeOperation> operations)
        {
            foreach (var store in operations.OfType<StoreOperation>())
            {
                if (store.Ledger.Postings.Count > 0 && gates.TryGetValue((home, store.Key), out var gate))
                {
                    await gate.PassAsync();
                    if (gate.Breaks)
                    {
                        broken.AddOrUpdate(store.Key, 1, (_, count) => count + 1);
                        throw new IOException("The seam broke this commit.");
                    }
                }
            }
        }

        private sealed class LegCalls(ConcurrentBag<string> asked) : IIncomingGrainCallFilter
        {
            public async Task Invoke(IIncomingGrainCallContext context)
            {
                try
                {
                    await context.Invoke();
                }
                finally
                {
                    if (context.Request.GetArgumentCount() > 0 && context.Request.GetArgument(0) is TransferLeg { Order.Key: var key })
                    {
                        asked.Add(key);
                    }
                }
            }
        }
    }

    internal sealed class Gate(Action remove, bool breaks) : IDisposable
    {
        private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously), released = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool Breaks => breaks;

        public Task Reached => reached.Task;

        public async Task PassAsync()
        {
            reached.TrySetResult();
            await released.Task;
        }

        public void Release() => released.TrySetResult();

        public void Dispose()
        {
            remove();
            Release();
        }
    }
}

/// <summary>A caller that posts a leg and then does not come back before its lease is over.</summary>
[Alias("banking.tests.IHoldingGrain")]
internal interface IHoldingGrain : IGrainWithIntegerKey
{
    [Transaction(TransactionOption.Create), Alias("PostAndHold")]
    Task PostAndHold(TransferLeg leg, double milliseconds);
}

internal sealed class HoldingGrain : Grain, IHoldingGrain
{
    public async Task PostAndHold(TransferLeg leg, double milliseconds)
    {
        await GrainFactory.GetGrain<IAccountLegs>(leg.Account.Text).PostLeg(leg);
        await Task.Delay(TimeSpan.FromMilliseconds(milliseconds));
    }
}
