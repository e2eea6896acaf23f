using Banking.Homes;
using Banking.Tests.Servers;
using Orleans.Storage;

namespace Banking.Tests.Homes;

/// <summary>Section 4 of docs/engine.md: what happens to the members of a batch when one of them, or the connection, fails.</summary>
public sealed class WriterTests(HomeServer server) : IClassFixture<HomeServer>
{
    /// <summary>In the packet that writes a batch and in no other.</summary>
    private const string CommitText = "SELECT 1; COMMIT";

    [Fact]
    public async Task WritesOfManyRowsShareOneTransactionAndAreOnePerRow()
    {
        var (barrier, batches) = (new Barrier(), new List<List<string>>());
        await using var silo = await server.StartSiloAsync(new HomeSeams
        {
            Locked = barrier.PassAsync,
            Committed = (_, members) =>
            {
                batches.Add([.. members.Select(member => member.Key)]);
                return Task.CompletedTask;
            },
        });
        var home = HomeOf(silo);
        var keys = Enumerable.Range(0, 5).Select(_ => $"counter/{server.NewKey()}").ToList();
        barrier.StopAt(_ => true);
        var running = new List<Task> { home.Writer.StoreAsync(Make(keys[0], 1)) };
        await barrier.Reached;
        running.AddRange(keys.Skip(1).Select(key => home.Writer.StoreAsync(Make(key, 1))));
        running.Add(home.Writer.StoreAsync(Change(keys[1], version: 1, value: 2)));
        barrier.Open();
        await Task.WhenAll(running).WaitAsync(Bounds.Answer);
        Assert.Equal([1, 4, 1], batches.Select(batch => batch.Count));
        Assert.Equal([keys[1]], batches[2]);
        Assert.Equal("2", await ValueAsync(keys[1]));
    }

    [Theory]
    [InlineData("a value that does not fit"), InlineData("a value of the wrong type"), InlineData("a null"), InlineData("a posting of nothing"), InlineData("a date that is none")]
    public async Task AMemberThatTheServerRefusesFailsAloneAndAllOthersAreWritten(string poison)
    {
        await using var silo = await server.StartSiloAsync();
        var bad = Make($"counter/{server.NewKey()}", 1);
        switch (poison)
        {
            case "a value that does not fit":
                bad = Make($"counter/{server.NewKey()}{new string('x', 200)}", 1);
                break;
            case "a value of the wrong type":
                bad.Row[StateTable.Sequence] = "abc";
                break;
            case "a null":
                bad.Row[StateTable.EngineColumns] = null;
                break;
            case "a posting of nothing":
                bad = new StoreOperation(bad.Table, bad.Key, bad.Row, 0, 0, bad.OperationId)
                {
                    Ledger = LedgerChange.None with { Postings = [["A-1", 1L, "transfer", "t", 0L, 0L, null, null, Prepare.Epoch, new byte[32], new byte[16]]] },
                };
                break;
            default:
                bad.Row[StateTable.UnsettledSince] = "2030-02-31";
                break;
        }

        var (good, refused) = await InOneBatchAsync(HomeOf(silo), bad);
        await Task.WhenAll(good.Select(member => member.Completion)).WaitAsync(Bounds.Answer);
        await Assert.ThrowsAsync<InvalidOperationException>(() => refused.WaitAsync(Bounds.Answer));
        Assert.True(HomeOf(silo).IsAvailable);
        Assert.Equal(0L, await server.QueryAsync($"SELECT COUNT(*) FROM grain_state WHERE state_key = '{bad.Key}'"));
        foreach (var member in good)
        {
            Assert.Equal("1", await ValueAsync(member.Key));
        }
    }

    /// <summary>A silo that hangs holds the locks of a whole batch; nobody's operation may get lost over it.</summary>
    [Fact]
    public async Task EveryOperationEndsWhileSomebodyElseHoldsItsRow()
    {
        await using var silo = await server.StartSiloAsync();
        var home = HomeOf(silo);
        var keys = Enumerable.Range(0, 60).Select(_ => $"counter/{server.NewKey()}").ToList();
        await Task.WhenAll(keys.Select(key => home.Writer.StoreAsync(Make(key, 1)))).WaitAsync(Bounds.Answer);
        var locked = await server.LockAsync(string.Join("; ", keys.Take(40).Select(key => $"SELECT 1 FROM grain_state WHERE state_key = '{key}' FOR UPDATE")));
        var clock = System.Diagnostics.Stopwatch.StartNew();
        var running = keys.Select(async (key, index) =>
        {
            while (clock.Elapsed < TimeSpan.FromSeconds(6))
            {
                await EndsAsync(home.Writer.LoadAsync(GrainStateTable<Counter>.Instance, key));
                await EndsAsync(home.Writer.StoreAsync(Flush(key, version: 1, value: index)));
                await EndsAsync(home.Writer.StoreAsync(Change(key, version: 1, value: index)));
            }
        }).ToList();
        await Task.Delay(TimeSpan.FromSeconds(3));
        await locked.DisposeAsync();
        await Task.WhenAll(running);

        static async Task EndsAsync(Task operation)
        {
            var failure = await Record.ExceptionAsync(() => operation.WaitAsync(Bounds.Answer));
            Assert.False(failure is TimeoutException, "An operation never ended.");
        }
    }

    [Fact]
    public async Task AMemberWhoseRowIsNotAsExpectedFailsAlone()
    {
        await using var silo = await server.StartSiloAsync();
        var (good, refused) = await InOneBatchAsync(HomeOf(silo), Change($"counter/{server.NewKey()}", version: 3, value: 1));
        await Task.WhenAll(good.Select(member => member.Completion)).WaitAsync(Bounds.Answer);
        await Assert.ThrowsAsync<InconsistentStateException>(() => refused.WaitAsync(Bounds.Answer));
    }

    [Theory]
    [InlineData("before"), InlineData("during"), InlineData("after"), InlineData("an error of the commit itself")]
    public async Task ACommitOfUnknownOutcomeIsLookedUpAndWrittenExactlyOnce(string moment)
    {
        await using var proxy = FaultProxy.To(server.Server.Port);
        await using var silo = await server.StartSiloAsync(proxy: proxy);
        var home = HomeOf(silo);
        var key = $"counter/{server.NewKey()}";
        await home.Writer.StoreAsync(Make(key, 1)).WaitAsync(Bounds.Answer);
        var struck = moment switch
        {
            "before" => proxy.CutBefore(CommitText),
            "during" => proxy.CutDuring(CommitText),
            "after" => proxy.CutAfter(CommitText),
            _ => proxy.AnswerWithError(CommitText),
        };
        var absent = Make($"counter/{server.NewKey()}", 5);
        await Task.WhenAll(home.Writer.StoreAsync(Change(key, version: 1, value: 2)), home.Writer.StoreAsync(absent), struck).WaitAsync(Bounds.Answer);
        Assert.Equal(("2", "5"), (await ValueAsync(key), await ValueAsync(absent.Key)));
        Assert.Equal(2L, await server.QueryAsync($"SELECT version FROM grain_state WHERE state_key = '{key}'"));
    }

    [Fact]
    public async Task ACommitThatWasLostToACancelIsNotWrittenAgain()
    {
        var decision = Guid.NewGuid();
        await using var proxy = FaultProxy.To(server.Server.Port);
        await using var silo = await server.StartSiloAsync(proxy: proxy, seams: new HomeSeams
        {
            Locked = (_, members) =>
            {
                if (members.OfType<StoreOperation>().Any(store => store.NewCommits.Contains(decision)))
                {
                    proxy.HoldAnswers(); // those of the connection that looks the commit up, too
                }

                return Task.CompletedTask;
            },
        });
        var home = HomeOf(silo);
        var key = $"counter/{server.NewKey()}";
        await home.Writer.StoreAsync(Make(key, 1)).WaitAsync(Bounds.Answer);
        var struck = proxy.CutBefore(CommitText);
        var writing = home.Writer.StoreAsync(Change(key, version: 1, value: 2, decides: decision));
        await struck.WaitAsync(Bounds.Answer);
        await server.QueryAsync($"INSERT INTO cancelled_transaction VALUES ('{key}', UNHEX('{decision:N}'), UTC_TIMESTAMP(6))");
        proxy.ReleaseAnswers();
        await Assert.ThrowsAsync<InvalidOperationException>(() => writing.WaitAsync(Bounds.Answer));
        Assert.Equal("1", await ValueAsync(key));
    }

    [Fact]
    public async Task AServerThatIsKilledAndComesBackServesTheSameWriter()
    {
        await using var silo = await server.StartSiloAsync();
        var home = HomeOf(silo);
        var key = $"counter/{server.NewKey()}";
        await home.Writer.StoreAsync(Make(key, 1)).WaitAsync(Bounds.Answer);
        await server.Server.KillAsync();
        await Assert.ThrowsAsync<HomeUnavailableException>(() => home.Writer.StoreAsync(Change(key, version: 1, value: 2)).WaitAsync(Bounds.Answer));
        await server.Server.StartAsync();
        await Bounds.UntilAsync(() => Task.FromResult(home.IsAvailable), "the circuit closes");
        await home.Writer.StoreAsync(Change(key, version: 1, value: 3)).WaitAsync(Bounds.Answer);
        Assert.Equal("3", await ValueAsync(key));
    }

    [Fact]
    public async Task AFullQueueRefusesAndEveryCallerGetsAnExceptionOfItsOwn()
    {
        var barrier = new Barrier();
        await using var silo = await server.StartSiloAsync(new HomeSeams { Locked = barrier.PassAsync });
        var home = HomeOf(silo);
        barrier.StopAt(_ => true);
        var first = home.Writer.LoadAsync(GrainStateTable<Counter>.Instance, "counter/first");
        await barrier.Reached;
        var waiting = Enumerable.Range(0, EngineLimits.QueueMax).Select(index => home.Writer.LoadAsync(GrainStateTable<Counter>.Instance, $"counter/{index}")).ToList();
        var refused = await Assert.ThrowsAsync<HomeUnavailableException>(() => home.Writer.LoadAsync(GrainStateTable<Counter>.Instance, "counter/last"));
        Assert.NotSame(refused, await Assert.ThrowsAsync<HomeUnavailableException>(() => home.Writer.LoadAsync(GrainStateTable<Counter>.Instance, "counter/last")));
        barrier.Open();
        await Task.WhenAll(waiting.Append(first)).WaitAsync(Bounds.Answer);
    }

    [Fact]
    public async Task ABatchFitsIntoAPacketALargeWriteGoesAloneAndOneThatIsTooLargeIsRefused()
    {
        var (barrier, sizes) = (new Barrier(), new List<(int Count, long Bytes)>());
        await using var silo = await server.StartSiloAsync(new HomeSeams
        {
            Locked = barrier.PassAsync,
            Committed = (_, members) =>
            {
                sizes.Add((members.Count, members.Sum(member => member.Bytes)));
                return Task.CompletedTask;
            },
        });
        var home = HomeOf(silo);
        barrier.StopAt(_ => true);
        var first = home.Writer.StoreAsync(Make($"counter/{server.NewKey()}", 1));
        await barrier.Reached;
        // The text is where Bytes did not look: in the pending states.
        var running = new[] { 400, 400, 400, 400, 400, 400, 2_000, 1 }.Select(kib => home.Writer.StoreAsync(WithPending(kib))).Append(first).ToList();
        barrier.Open();
        await Task.WhenAll(running).WaitAsync(Bounds.Answer);
        Assert.All(sizes, batch => Assert.True(batch.Count == 1 || batch.Bytes <= EngineLimits.BatchBytesMax, $"{batch}"));
        Assert.Equal(9, sizes.Sum(batch => batch.Count));
        Assert.Contains(sizes, batch => batch.Bytes > EngineLimits.BatchBytesMax);
        await Assert.ThrowsAsync<InvalidOperationException>(() => home.Writer.StoreAsync(WithPending(6_000)));
        Assert.True(home.IsAvailable);
    }

    [Fact]
    public async Task AnOldFlushThatWaitedForItsTurnDoesNotOverwriteANewerOne()
    {
        await using var silo = await server.StartSiloAsync();
        var home = HomeOf(silo);
        var keys = Enumerable.Range(0, EngineLimits.AloneMax + 1).Select(_ => $"counter/{server.NewKey()}").ToList();
        await Task.WhenAll(keys.Select(key => home.Writer.StoreAsync(Make(key, 1)))).WaitAsync(Bounds.Answer);
        var row = keys[^1];
        Task[] others;
        Task old;
        // One by one: for an IN the server scans the whole of so small a table, and locks what it sees.
        await using (await server.LockAsync(string.Join("; ", keys.SkipLast(1).Select(key => $"SELECT 1 FROM grain_state WHERE state_key = '{key}' FOR UPDATE"))))
        {
            others = [.. keys.SkipLast(1).Select(key => home.Writer.StoreAsync(Change(key, version: 1, value: 2)))];
            await using (await server.LockAsync($"SELECT 1 FROM grain_state WHERE state_key = '{row}' FOR UPDATE"))
            {
                old = home.Writer.StoreAsync(Flush(row, version: 1, value: 7)); // skipped, and all turns are taken
                await Bounds.UntilAsync(() => Task.FromResult(home.Writer.Queued == 0), "the writer has looked at it");
            }

            // The row is free now; the newer flush could be written at once.
            var newer = home.Writer.StoreAsync(Flush(row, version: 1, value: 8));
            await Bounds.UntilAsync(() => Task.FromResult(home.Writer.Queued == 0), "the writer has looked at it");
            others = [.. others, newer];
        }

        await Record.ExceptionAsync(() => Task.WhenAll([.. others, old]).WaitAsync(Bounds.Answer)); // on a slow machine some waited too long
        Assert.Equal("8", await ValueAsync(row));
    }

    [Fact]
    public async Task ThoseThatWaitForLockedRowsAreBoundedAndDoNotStopTheOthers()
    {
        const int tooMany = 20;
        await using var silo = await server.StartSiloAsync();
        var home = HomeOf(silo);
        var prefix = $"counter/{server.NewKey()}";
        var keys = Enumerable.Range(0, EngineLimits.AloneWaitingMax + tooMany).Select(index => $"{prefix}.{index}").ToList();
        await Task.WhenAll(keys.Select(key => home.Writer.StoreAsync(Make(key, 1)))).WaitAsync(Bounds.Answer);
        List<Task> running;
        await using (await server.LockAsync($"SELECT COUNT(*) FROM (SELECT 1 FROM grain_state WHERE state_key LIKE '{prefix}.%' FOR UPDATE) locked"))
        {
            running = [.. keys.Select(key => home.Writer.StoreAsync(Change(key, version: 1, value: 2)))];
            await home.Writer.StoreAsync(Make($"counter/{server.NewKey()}", 1)).WaitAsync(Bounds.Answer);
            await Bounds.UntilAsync(() => Task.FromResult(running.Any(IsRefused)), "some are refused");
        }

        await Record.ExceptionAsync(() => Task.WhenAll(running).WaitAsync(Bounds.Answer));
        Assert.InRange(running.Count(IsRefused), 1, tooMany);

        static bool IsRefused(Task task) => task.Exception?.InnerException is HomeUnavailableException refused && refused.Message.Contains("that wait for rows", StringComparison.Ordinal);
    }

    [Fact]
    public void AccountNumbersInMessagesAreMaskedAndTransferIdsAreNot()
    {
        var number = server.NewAccount();
        var id = TransferId.Of(number, "key").Text;
        Assert.Equal($"row {number.Masked}. hold/{number.Masked}, {id}", MaskedText.Of($"row {number}. hold/{number}, {id}"));
    }

    private static Home HomeOf(HomeRegistry silo) => silo.OfKey("A-1");

    private static object?[] Row(string key, long version, Guid operation, int value) =>
        [key, version, 0L, operation.ToByteArray(bigEndian: true), 0L, 0L, null, null, value.ToString(System.Globalization.CultureInfo.InvariantCulture)];

    private static StoreOperation Make(string key, int value)
    {
        var operation = Guid.NewGuid();
        return new StoreOperation(GrainStateTable<Counter>.Instance, key, Row(key, 1, operation, value), 0, 0, operation);
    }

    private static StoreOperation Change(string key, long version, int value, Guid? decides = null)
    {
        var operation = Guid.NewGuid();
        return new StoreOperation(GrainStateTable<Counter>.Instance, key, Row(key, version + 1, operation, value), version, 0, operation) { NewCommits = decides is { } id ? [id] : [] };
    }

    private static StoreOperation Flush(string key, long version, int value)
    {
        var operation = Guid.NewGuid();
        return new StoreOperation(GrainStateTable<Counter>.Instance, key, Row(key, version, operation, value), version, 0, operation) { IsFlush = true };
    }

    private StoreOperation WithPending(int kib)
    {
        var made = Make($"counter/{server.NewKey()}", 1);
        return new StoreOperation(made.Table, made.Key, made.Row, 0, 0, made.OperationId)
        {
            NewPending = [[made.Key, 1L, new byte[16], 1L, null, new string('x', kib * 1024)]],
        };
    }

    /// <summary>Ten good writes and one other, in one batch.</summary>
    private async Task<(List<StoreOperation> Good, Task Other)> InOneBatchAsync(Home home, StoreOperation other)
    {
        await using var blocked = await server.LockAsync("SELECT 1");
        var good = Enumerable.Range(0, 10).Select(_ => Make($"counter/{server.NewKey()}", 1)).ToList();
        good.Take(5).ToList().ForEach(member => _ = home.Writer.StoreAsync(member));
        var task = home.Writer.StoreAsync(other);
        good.Skip(5).ToList().ForEach(member => _ = home.Writer.StoreAsync(member));
        return (good, task);
    }

    private async Task<string?> ValueAsync(string key) => (string?)await server.QueryAsync($"SELECT state FROM grain_state WHERE state_key = '{key}'");
}
