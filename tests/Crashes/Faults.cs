using Banking.Tests.Servers;

namespace Banking.Tests.Crashes;

/// <summary>Injects every kind of crash once, in an order and with pauses that the random numbers decide.</summary>
internal sealed class Faults(Bank bank, Random random, Action<string> write)
{
    /// <summary>A silo that is stopped for so long was declared dead when it wakes up.</summary>
    private static readonly TimeSpan ZombieTime = TimeSpan.FromSeconds(9);

    public async Task RunAsync(Task load)
    {
        Func<Task>[] kinds = [KillSiloAsync, StopSiloAsync, KillHomeAsync, KillSystemAsync, KillEverythingAsync];
        random.Shuffle(kinds);
        foreach (var fault in kinds)
        {
            await PauseAsync(1_500, 3_000);
            Assert.False(load.IsFaulted, load.Exception?.ToString());
            await fault();
        }

        await PauseAsync(2_000, 3_000);
    }

    private async Task KillSiloAsync()
    {
        var victim = AnySilo();
        await victim.KillAsync();
        write($"killed {victim.Name}");
        await PauseAsync(500, 3_000);
        await bank.AddProcessAsync();
    }

    private async Task StopSiloAsync()
    {
        var victim = AnySilo();
        victim.Pause();
        await Task.Delay(ZombieTime);
        victim.Continue();
        write($"stopped {victim.Name} for {ZombieTime.TotalSeconds} s and let it go on");
        await bank.AddProcessAsync();
    }

    private async Task KillHomeAsync()
    {
        var (name, home) = random.Next(2) == 0 ? ("A", bank.A) : ("B", bank.B);
        await home.KillAsync();
        await PauseAsync(500, 4_000);
        await home.StartAsync();
        write($"killed home {name} and started it again");
    }

    private async Task KillSystemAsync()
    {
        await bank.System.KillAsync();
        await PauseAsync(500, 4_000);
        await bank.System.StartAsync();
        write("killed bank_system and started it again");
    }

    private async Task KillEverythingAsync()
    {
        await Task.WhenAll([.. bank.Processes.Where(silo => !silo.HasExited).Select(silo => silo.KillAsync()), bank.A.KillAsync(), bank.B.KillAsync(), bank.System.KillAsync()]);
        await Task.WhenAll(bank.A.StartAsync(), bank.B.StartAsync(), bank.System.StartAsync());
        await Task.WhenAll(bank.AddProcessAsync(), bank.AddProcessAsync(), bank.AddProcessAsync());
        write("killed everything and started it again");
    }

    private SiloProcess AnySilo()
    {
        var running = bank.Processes.Where(silo => !silo.HasExited).ToList();
        return running[random.Next(running.Count)];
    }

    private Task PauseAsync(int leastMs, int mostMs) => Task.Delay(random.Next(leastMs, mostMs));
}
