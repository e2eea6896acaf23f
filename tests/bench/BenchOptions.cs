namespace Banking.Bench;

/// <summary>What <c>./bank bench</c> asks for: section <c>Bench</c>.</summary>
internal sealed class BenchOptions
{
    /// <summary>Shorter windows and fewer accounts: shows that everything works, not how fast it is.</summary>
    public bool Quick { get; set; }

    /// <summary>Where the figures go as JSON; null for nowhere.</summary>
    public string? JsonFile { get; set; }

    /// <summary>The database server, such as <c>MariaDB 10.11.14</c>; only printed.</summary>
    public string Server { get; set; } = "";

    /// <summary>The pids of the processes whose CPU is counted beside this one, by the name to print.</summary>
    public Dictionary<string, int> Processes { get; set; } = [];

    /// <summary>Accounts over both homes, half of them business, half customer.</summary>
    public int Accounts => Quick ? 2_000 : 10_000;

    /// <summary>How long a workload is measured.</summary>
    public TimeSpan Window => TimeSpan.FromSeconds(Quick ? 4 : 10);

    /// <summary>Before the first window: the runtime compiles hot methods anew in the background, on cores that the silo needs.</summary>
    public TimeSpan WarmUp => TimeSpan.FromSeconds(18);

    /// <summary>Before each window: queues reach their usual length, accounts are activated.</summary>
    public TimeSpan LeadIn => TimeSpan.FromSeconds(Quick ? 1 : 2);
}
