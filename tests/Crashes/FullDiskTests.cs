using System.Diagnostics;
using Banking.Tests.Servers;
using Banking.Tests.Transfers;

namespace Banking.Tests.Crashes;

/// <summary>
/// D3: the binary log of a home has no space left, so a commit hangs in the middle or the server gives up; space comes back after
/// the silo has long stopped waiting. A file system of its own is needed, so this runs where root is.
/// </summary>
public sealed class FullDiskTests
{
    /// <summary>A server that waits for space looks again once a minute.</summary>
    private static readonly TimeSpan OutcomeTimeMax = TimeSpan.FromSeconds(120);

    /// <summary>How long the disk stays full: longer than a statement is waited for and a commit is looked up.</summary>
    private static readonly TimeSpan FullTime = TimeSpan.FromSeconds(8);

    [Fact]
    public async Task ACommitThatHangsInAFullBinaryLogHasOneOutcome()
    {
        Assert.SkipUnless(Environment.UserName == "root", "Not run: a full disk needs a file system of its own, which only root can mount.");
        var folder = Directory.CreateTempSubdirectory("bank-full-").FullName;
        Run("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder);
        try
        {
            await using var bank = await Bank.StartAsync(silos: 1, argumentsOfA: [$"--log-bin={folder}/binlog", "--server-id=1"]);
            var payer = await bank.OpenAsync("A", AccountKind.Customer, overdraftMinor: 100_00);
            var payee = await bank.OpenAsync("B", AccountKind.Business);
            var (healthy, other) = (await bank.OpenAsync("B", AccountKind.Customer, overdraftMinor: 100_00), await bank.OpenAsync("B", AccountKind.Customer));
            Assert.Equal(TransferStatus.Posted, (await bank.TransferAsync(payer, payee, 1, "before")).Status);

            var filler = Fill(Path.Combine(folder, "filler"));
            var sent = Task.WhenAll(Enumerable.Range(0, 4).Select(index => UntilTakenAsync(bank, payer, payee, $"full-{index}")));
            await Task.WhenAny(sent, Task.Delay(FullTime));
            Assert.False(sent.IsCompleted, "The disk was not full enough to stop anybody.");
            for (var count = 0; count < 20; count++)
            {
                Assert.Equal(TransferStatus.Posted, (await bank.TransferAsync(healthy, other, 1)).Status); // guarantee 9
            }

            File.Delete(filler);
            await bank.A.StartAgainIfGoneAsync();
            var clock = Stopwatch.StartNew();
            var outcomes = await sent.WaitAsync(OutcomeTimeMax);
            await bank.UntilSettledAsync(TimeSpan.FromSeconds(16));
            Measured.Say($"full binary log: every transfer had its outcome {clock.Elapsed.TotalSeconds:F1} s after space came back: {string.Join(", ", outcomes.Select(outcome => outcome.Refusal?.Code.ToString() ?? outcome.Status.ToString()))}");
            foreach (var (outcome, index) in outcomes.Select((outcome, index) => (outcome, index)))
            {
                var again = await Retry.UntilTakenAsync(key => bank.TransferAsync(payer, payee, 1, key), $"full-{index}");
                Assert.Equal((outcome.Status, outcome.Receipt?.Number), (again.Status, again.Receipt?.Number));
            }

            Assert.Equal(1 + outcomes.Count(outcome => outcome.Status == TransferStatus.Posted), (await bank.GetAsync(payee)).Version);
            Assert.Empty((await bank.VerifyAsync()).Breaches);
        }
        finally
        {
            Run("umount", "-l", folder);
            Directory.Delete(folder);
        }
    }

    private static async Task<TransferOutcome> UntilTakenAsync(Bank bank, AccountNumber payer, AccountNumber payee, string key)
    {
        var clock = Stopwatch.StartNew();
        while (true)
        {
            var outcome = await Retry.UntilTakenAsync(same => bank.TransferAsync(payer, payee, 1, same), key);
            if (outcome.Status != TransferStatus.Pending && outcome.Refusal?.Code is not (Code.HomeUnavailable or Code.Overloaded))
            {
                return outcome;
            }

            Assert.True(clock.Elapsed < OutcomeTimeMax, $"{key} has no outcome: {outcome}");
        }
    }

    /// <summary>Leaves no byte free.</summary>
    private static string Fill(string path)
    {
        using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        var (block, size) = (new byte[64 * 1024], 64 * 1024);
        while (size > 0)
        {
            try
            {
                file.Write(block, 0, size);
            }
            catch (IOException)
            {
                size /= 2;
            }
        }

        return path;
    }

    private static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
