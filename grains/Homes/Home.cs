using Microsoft.Extensions.Logging;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// One home database as this silo sees it: its connections, its health, its writer and its reader. The circuit of the home
/// is <see cref="IsAvailable"/>: any failure opens it, and only a probe that also passes the start-up checks closes it.
/// </summary>
internal sealed partial class Home : IAsyncDisposable
{
    /// <summary>How often a home that is down is tried, and one that is up is looked at.</summary>
    private static readonly TimeSpan ProbeWhenDown = TimeSpan.FromMilliseconds(250), ProbeWhenUp = TimeSpan.FromSeconds(2);

    /// <summary>Failures of working connections in a row that open the circuit; a single one may be one killed connection.</summary>
    private const int FailuresMax = 2;

    /// <summary>Connections for lists, reports and the console; the money path has two of its own.</summary>
    private const uint ListPoolMax = 16;

    private readonly HomeOptions options;
    private readonly ILogger logger;
    private readonly MySqlDataSource money, lists;
    private readonly CancellationTokenSource stopping = new();
    private readonly SemaphoreSlim probeNow = new(0, 1);
    private Task probing = Task.CompletedTask;
    private volatile string? reason = "it has not been checked yet";
    private int failures;

    public Home(string name, HomeOptions options, HomeInstruments instruments, string siloName, ILoggerFactory loggers, HomeSeams? seams = null)
    {
        (Name, this.options, Instruments, logger) = (name, options, instruments, loggers.CreateLogger<Home>());
        Seams = seams ?? new HomeSeams();
        money = CreateDataSource(options.ConnectionString, pooling: false, Seams.Fences ? Statements.Session + Statements.SessionIdle : Statements.Session);
        lists = CreateDataSource(options.ConnectionString, pooling: true, Statements.Session);
        Writer = new HomeWriter(this, siloName, loggers.CreateLogger<HomeWriter>());
        Reader = new HomeReader(this);
        instruments.Observe(this);
    }

    public string Name { get; }

    public HomeInstruments Instruments { get; }

    public HomeSeams Seams { get; }

    public HomeWriter Writer { get; }

    public HomeReader Reader { get; }

    /// <summary>False while the circuit is open.</summary>
    public bool IsAvailable => reason is null;

    /// <summary>Why the home is not available; null when it is.</summary>
    public string? Reason => reason;

    /// <summary>
    /// Checks the home once, then keeps looking. A home that answers and fails a check stops the start of the silo; one that
    /// does not answer does not: the others must go on without it.
    /// </summary>
    public async Task StartAsync(CancellationToken cancellation)
    {
        await ProbeAsync(refuse: true, cancellation);
        probing = Task.Run(ProbeForeverAsync, cancellation);
    }

    /// <summary>A connection of its own for the money path; closing it rolls back whatever it had open.</summary>
    public ValueTask<MySqlConnection> OpenAsync(CancellationToken cancellation) => money.OpenConnectionAsync(cancellation);

    /// <summary>A pooled connection for lists.</summary>
    public async Task<MySqlConnection> OpenForListsAsync(CancellationToken cancellation = default)
    {
        try
        {
            return await lists.OpenConnectionAsync(cancellation);
        }
        catch (MySqlException exception)
        {
            throw new HomeUnavailableException($"Home {Name} cannot be reached: {exception.Message}");
        }
    }

    /// <summary>Tells the circuit that a connection failed. Wakes the probe, which decides.</summary>
    public void ReportFailure(string message)
    {
        if (Interlocked.Increment(ref failures) >= FailuresMax && reason is null)
        {
            reason = message;
            Instruments.CircuitOpened(Name);
            LogCircuitOpened(Name, message);
        }

        if (probeNow.CurrentCount == 0)
        {
            try
            {
                probeNow.Release();
            }
            catch (SemaphoreFullException)
            {
                // Two failures at once: the probe is awake already.
            }
        }
    }

    /// <summary>Throws while the circuit is open.</summary>
    public void ThrowIfUnavailable()
    {
        if (reason is { } why)
        {
            throw new HomeUnavailableException($"Home {Name} is not available: {why}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await stopping.CancelAsync();
        await probing;
        await Writer.DisposeAsync();
        await Reader.DisposeAsync();
        await money.DisposeAsync();
        await lists.DisposeAsync();
        stopping.Dispose();
        probeNow.Dispose();
    }

    private static MySqlDataSource CreateDataSource(string connectionString, bool pooling, string session)
    {
        var settings = new MySqlConnectionStringBuilder(connectionString)
        {
            Pooling = pooling,
            MaximumPoolSize = ListPoolMax,
            ConnectionTimeout = EngineLimits.ConnectTimeoutSeconds,
            DefaultCommandTimeout = EngineLimits.SqlTimeoutSeconds,
            CancellationTimeout = 1,
            GuidFormat = MySqlGuidFormat.None,
            DateTimeKind = MySqlDateTimeKind.Utc,
            AllowLoadLocalInfile = false,
            UseAffectedRows = false,
        };
        return new MySqlDataSourceBuilder(settings.ConnectionString)
            .UseConnectionOpenedCallback(async (context, cancellation) =>
            {
                using var sql = new SqlBatch();
                await sql.Add(session).ExecuteAsync(context.Connection, cancellation);
            })
            .Build();
    }

    private async Task ProbeForeverAsync()
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await probeNow.WaitAsync(IsAvailable ? ProbeWhenUp : ProbeWhenDown, stopping.Token);
                if (!IsAvailable)
                {
                    await Task.Delay(ProbeWhenDown, stopping.Token); // a storm of failures must not become a storm of probes
                }

                await ProbeAsync(refuse: false, stopping.Token);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
        }
    }

    private async Task ProbeAsync(bool refuse, CancellationToken cancellation)
    {
        string? found;
        try
        {
            await using var connection = await money.OpenConnectionAsync(cancellation);
            found = await HomeCheck.RunAsync(connection, Name, options.AllowRelaxedDurability, cancellation);
            if (found is not null && refuse)
            {
                throw new HomeRefusedException($"Home {Name} is refused: {found}");
            }
        }
        catch (Exception exception) when (exception is not (HomeRefusedException or OutOfMemoryException) && !cancellation.IsCancellationRequested)
        {
            found = exception.Message; // whatever it is, the probe must go on, or the circuit would stay open for ever
        }

        if (found is null)
        {
            Volatile.Write(ref failures, 0);
        }

        if ((found is null) != (reason is null))
        {
            LogHealthChanged(Name, found is null, found);
        }

        reason = found;
    }
}

/// <summary>A home answers, but must not be used as it is. The message says what to do.</summary>
internal sealed class HomeRefusedException(string message) : Exception(message);
