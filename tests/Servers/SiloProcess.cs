using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Banking.Tests.Servers;

/// <summary>A silo as a process of its own, so that it can be killed or stopped. Only what was started here is ever signalled.</summary>
internal sealed class SiloProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeMax = TimeSpan.FromSeconds(60), StopTimeMax = TimeSpan.FromSeconds(30);

    private static readonly string Program = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Banking.TestSilo", "release", "Banking.TestSilo.dll"));

    private readonly string log;
    private readonly Process process;
    private bool isDisposed;

    private SiloProcess(string name, int port, Process process, string log) => (Name, Port, this.process, this.log) = (name, port, process, log);

    public string Name { get; }

    /// <summary>Its port for other silos, by which Orleans knows it.</summary>
    public int Port { get; }

    public int Id => process.Id;

    public bool HasExited => isDisposed || process.HasExited;

    public string Log => File.Exists(log) ? File.ReadAllText(log) : "";

    /// <summary>Starts it and waits until clients can connect.</summary>
    public static async Task<SiloProcess> StartAsync(string name, IReadOnlyDictionary<string, string> settings, params string[] arguments)
    {
        var (port, gateway) = (DatabaseServer.FreePort(), DatabaseServer.FreePort());
        var log = Path.GetTempFileName();
        var start = new ProcessStartInfo("/bin/sh");
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("exec \"$0\" \"$@\" >>" + log + " 2>&1 </dev/null");
        start.ArgumentList.Add(Environment.ProcessPath is { } path && Path.GetFileName(path) == "dotnet" ? path : "dotnet");
        start.ArgumentList.Add(Program);
        foreach (var (key, value) in settings)
        {
            start.ArgumentList.Add($"--{key}={value}");
        }

        string[] common =
        [
            $"--Silo:Name={name}", $"--Silo:Port={port.ToString(CultureInfo.InvariantCulture)}", $"--Silo:GatewayPort={gateway.ToString(CultureInfo.InvariantCulture)}",
            "--Serilog:MinimumLevel:Default=Warning", $"--Serilog:MinimumLevel:Override:Orleans={Environment.GetEnvironmentVariable("BANK_TEST_ORLEANS_LEVEL") ?? "Error"}", .. arguments,
        ];
        foreach (var argument in common)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["DOTNET_TieredPGO"] = "0"; // quicker to start; nobody measures here
        var silo = new SiloProcess(name, port, Process.Start(start)!, log);
        var started = Stopwatch.GetTimestamp();
        while (!await AnswersAsync(gateway))
        {
            if (silo.HasExited || Stopwatch.GetElapsedTime(started) > StartTimeMax)
            {
                var said = silo.Log;
                await silo.DisposeAsync();
                throw new InvalidOperationException($"The silo {name} did not start: {said}");
            }

            await Task.Delay(50);
        }

        return silo;
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>SIGSTOP and SIGCONT: a silo that hangs and wakes up after it was declared dead.</summary>
    public void Pause() => Signal("STOP");

    public void Continue() => Signal("CONT");

    /// <summary>SIGTERM, as an orchestrator does it.</summary>
    public async Task StopAsync()
    {
        Signal("TERM");
        await process.WaitForExitAsync().WaitAsync(StopTimeMax);
    }

    public async Task UntilGoneAsync(TimeSpan most) => await process.WaitForExitAsync().WaitAsync(most);

    /// <summary>Waits until the process is stopped by a signal or gone.</summary>
    public async Task<bool> UntilStoppedOrGoneAsync(TimeSpan most)
    {
        var started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < most)
        {
            if (HasExited || (await File.ReadAllTextAsync($"/proc/{Id}/stat")).Split(") ")[1].StartsWith('T'))
            {
                return true;
            }

            await Task.Delay(20);
        }

        return false;
    }

    /// <summary>May come twice: from the test that knows when, and from the bank.</summary>
    public async ValueTask DisposeAsync()
    {
        if (isDisposed)
        {
            return;
        }

        isDisposed = true;
        if (!process.HasExited)
        {
            await KillAsync();
        }

        process.Dispose();
        File.Delete(log);
    }

    private static async Task<bool> AnswersAsync(int port)
    {
        using var probe = new TcpClient();
        try
        {
            await probe.ConnectAsync(IPAddress.Loopback, port);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private void Signal(string name)
    {
        using var kill = Process.Start("kill", $"-{name} {Id.ToString(CultureInfo.InvariantCulture)}");
        kill.WaitForExit();
    }
}
