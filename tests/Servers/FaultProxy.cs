using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using MySqlConnector;

namespace Banking.Tests.Servers;

/// <summary>
/// A TCP proxy on loopback between a home and its server that cuts, delays and falsifies. It reads the packets of the MySQL
/// protocol, so connections through it must not be encrypted (<see cref="Through"/> sees to that).
/// </summary>
/// <remarks>
/// A fault is armed with a text, strikes once, at the first packet of a client that contains the text, and its task ends when it has
/// struck. One fault is armed at a time.
/// </remarks>
internal sealed class FaultProxy : IAsyncDisposable
{
    private const int HeaderBytes = 4;

    private readonly int serverPort;
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource stopping = new();
    private readonly Lock sync = new();
    private readonly HashSet<Link> links = [];
    private readonly List<Task> running = [];
    private readonly Task accepting;
    private Fault? armed;
    private TaskCompletionSource gate = Opened();
    private volatile bool refuses;

    private FaultProxy(int serverPort)
    {
        this.serverPort = serverPort;
        listener.Start();
        accepting = AcceptAsync();
    }

    private enum FaultKind
    {
        CutBefore,
        Hold,
        CutDuring,
        CutAfter,
        Error,
    }

    public int Port => ((IPEndPoint)listener.LocalEndpoint).Port;

    /// <summary>While true, new connections are closed at once, as a server does that has none left.</summary>
    public bool RefusesNew
    {
        get => refuses;
        set => refuses = value;
    }

    public static FaultProxy To(int serverPort) => new(serverPort);

    /// <summary>The connection string that leads through here.</summary>
    public string Through(string connectionString) =>
        new MySqlConnectionStringBuilder(connectionString) { Server = "127.0.0.1", Port = (uint)Port, SslMode = MySqlSslMode.None }.ConnectionString;

    /// <summary>Cuts all connections now.</summary>
    public void CutAll()
    {
        List<Link> all;
        lock (sync)
        {
            all = [.. links];
        }

        all.ForEach(link => link.Cut());
    }

    /// <summary>The server never gets the packet.</summary>
    public Task CutBefore(string text) => Arm(FaultKind.CutBefore, text);

    /// <summary>The server gets the packet and loses its client while it works on it.</summary>
    public Task CutDuring(string text) => Arm(FaultKind.CutDuring, text);

    /// <summary>The server has done all that the packet asks for; the answer is lost.</summary>
    public Task CutAfter(string text) => Arm(FaultKind.CutAfter, text);

    /// <summary>The server has done all that the packet asks for; the last answer becomes an error, as if the COMMIT had failed.</summary>
    public Task AnswerWithError(string text) => Arm(FaultKind.Error, text);

    /// <summary>
    /// The packet is on its way for as long as one likes, also when its client has died meanwhile; then the server gets it.
    /// </summary>
    public HeldPacket HoldBefore(string text)
    {
        var held = new HeldPacket();
        held.Struck = Arm(FaultKind.Hold, text, held);
        return held;
    }

    /// <summary>From now on no answer comes through, nor the greeting of a new connection, until <see cref="ReleaseAnswers"/>.</summary>
    public void HoldAnswers()
    {
        lock (sync)
        {
            if (gate.Task.IsCompleted)
            {
                gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }

    public void ReleaseAnswers()
    {
        lock (sync)
        {
            gate.TrySetResult();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        listener.Stop();
        await accepting;
        ReleaseAnswers();
        CutAll();
        List<Task> all;
        lock (sync)
        {
            all = [.. running];
        }

        await Task.WhenAll(all);
        stopping.Dispose();
    }

    private static TaskCompletionSource Opened()
    {
        var opened = new TaskCompletionSource();
        opened.SetResult();
        return opened;
    }

    private Task Arm(FaultKind kind, string text, HeldPacket? held = null)
    {
        var fault = new Fault(kind, text, held);
        lock (sync)
        {
            armed = armed is null ? fault : throw new InvalidOperationException($"Expected no armed fault, '{armed.Text}' still is.");
        }

        return fault.Struck.Task;
    }

    private Fault? Disarm(ReadOnlySpan<byte> packet)
    {
        lock (sync)
        {
            if (armed is not { } fault || packet.IndexOf(Encoding.UTF8.GetBytes(fault.Text)) < 0)
            {
                return null;
            }

            armed = null;
            return fault;
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                var client = await listener.AcceptTcpClientAsync(stopping.Token);
                if (RefusesNew)
                {
                    client.Dispose();
                    continue;
                }

                lock (sync)
                {
                    running.RemoveAll(task => task.IsCompleted);
                    running.Add(RunAsync(client));
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private async Task RunAsync(TcpClient client)
    {
        await Task.Yield();
        using var link = new Link(client, new TcpClient());
        try
        {
            await link.Server.ConnectAsync(IPAddress.Loopback, serverPort, stopping.Token);
            lock (sync)
            {
                links.Add(link);
            }

            await await Task.WhenAny(PumpRequestsAsync(link), PumpAnswersAsync(link));
        }
        catch (Exception exception) when (exception is IOException or SocketException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // One side is gone, or was cut: the other goes, too.
        }
        finally
        {
            lock (sync)
            {
                links.Remove(link);
            }

            link.AnswerFault?.Held?.End();
            link.Cut();
        }
    }

    private async Task PumpRequestsAsync(Link link)
    {
        var (from, to) = (link.Client.GetStream(), link.Server.GetStream());
        while (await ReadPacketAsync(from) is { } packet)
        {
            var fault = Disarm(packet);
            link.AnswerFault = fault is { Kind: FaultKind.CutAfter or FaultKind.Error or FaultKind.Hold } ? fault : null;
            if (fault is { Held: { } held })
            {
                fault.Struck.TrySetResult();
                await held.Released;
            }

            if (fault is not { Kind: FaultKind.CutBefore })
            {
                await to.WriteAsync(packet);
            }

            if (fault is { Kind: FaultKind.CutBefore or FaultKind.CutDuring })
            {
                link.Cut();
                fault.Struck.TrySetResult();
                return;
            }
        }
    }

    private async Task PumpAnswersAsync(Link link)
    {
        var (from, to) = (link.Server.GetStream(), link.Client.GetStream());
        while (await ReadPacketAsync(from) is { } packet)
        {
            await gate.Task;
            if (link.AnswerFault is not { } fault)
            {
                await to.WriteAsync(packet);
            }
            else if (!IsLastAnswer(packet))
            {
                // An answer that gets lost is lost as a whole; one that becomes an error is complete up to that.
                if (fault.Kind == FaultKind.Error)
                {
                    await to.WriteAsync(packet);
                }
            }
            else if (fault.Kind == FaultKind.Error)
            {
                link.AnswerFault = null;
                await to.WriteAsync(ErrorPacket(packet[3]));
                fault.Struck.TrySetResult();
            }
            else
            {
                link.Cut();
                fault.Struck.TrySetResult();
                return;
            }
        }
    }

    private static async Task<byte[]?> ReadPacketAsync(NetworkStream stream)
    {
        var header = new byte[HeaderBytes];
        if (await stream.ReadAtLeastAsync(header, HeaderBytes, throwOnEndOfStream: false) < HeaderBytes)
        {
            return null;
        }

        var packet = new byte[HeaderBytes + (header[0] | (header[1] << 8) | (header[2] << 16))];
        header.CopyTo(packet, 0);
        await stream.ReadExactlyAsync(packet.AsMemory(HeaderBytes));
        return packet;
    }

    /// <summary>An OK that says that no more results follow, or an error. Enough for statements that end with COMMIT.</summary>
    private static bool IsLastAnswer(ReadOnlySpan<byte> packet)
    {
        const int moreResults = 8;
        var payload = packet[HeaderBytes..];
        if (payload is [0xFF, ..])
        {
            return true;
        }

        if (payload is not [0, ..] || payload.Length < 7)
        {
            return false;
        }

        var position = 1;
        for (var number = 0; number < 2; number++)
        {
            position += payload[position] switch { 0xFC => 3, 0xFD => 4, 0xFE => 9, _ => 1 };
        }

        return (BinaryPrimitives.ReadUInt16LittleEndian(payload[position..]) & moreResults) == 0;
    }

    private static byte[] ErrorPacket(byte sequence)
    {
        const ushort unknownError = 1105;
        var text = Encoding.UTF8.GetBytes("#HY000the proxy says so");
        var packet = new byte[HeaderBytes + 3 + text.Length];
        packet[0] = (byte)(packet.Length - HeaderBytes);
        packet[3] = sequence;
        packet[4] = 0xFF;
        BinaryPrimitives.WriteUInt16LittleEndian(packet.AsSpan(5), unknownError);
        text.CopyTo(packet, 7);
        return packet;
    }

    private sealed record Fault(FaultKind Kind, string Text, HeldPacket? Held)
    {
        public TaskCompletionSource Struck { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>A client's connection and the one to the server that belongs to it.</summary>
    private sealed class Link(TcpClient client, TcpClient server) : IDisposable
    {
        public TcpClient Client { get; } = client;

        public TcpClient Server { get; } = server;

        /// <summary>What becomes of the answer to the packet that was sent last.</summary>
        public Fault? AnswerFault { get; set; }

        public void Cut()
        {
            Client.Close();
            Server.Close();
        }

        public void Dispose() => Cut();
    }
}

/// <summary>A packet that a <see cref="FaultProxy"/> holds. Its answer goes to nobody.</summary>
internal sealed class HeldPacket : IDisposable
{
    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously), ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when the packet came and is held.</summary>
    public Task Struck { get; set; } = Task.CompletedTask;

    public Task Released => released.Task;

    /// <summary>Ends when the server has done what the packet asks for, or had ended the session before.</summary>
    public Task Ended => ended.Task;

    public void Release() => released.TrySetResult();

    public void End() => ended.TrySetResult();

    public void Dispose() => Release();
}
