using System.ComponentModel.DataAnnotations;

namespace Banking.Homes;

/// <summary>One home database: section <c>Homes:NAME</c>.</summary>
internal sealed class HomeOptions
{
    /// <summary>MySqlConnector connection string of the run-time user, which may read and insert postings but never change them.</summary>
    [Required]
    public string ConnectionString { get; set; } = "";

    /// <summary>Connection string of the user who owns the schema; only <c>migrate</c> needs it.</summary>
    public string? SchemaConnectionString { get; set; }

    /// <summary>Takes a server that may lose commits in a power cut, or that is not strict. For throw-away data only.</summary>
    public bool AllowRelaxedDurability { get; set; }
}

/// <summary>The homes by name: section <c>Homes</c>.</summary>
internal sealed class HomesOptions
{
    /// <summary>Home name (a capital letter, up to seven capital letters or digits) to its database.</summary>
    [Required, MinLength(1)]
    public Dictionary<string, HomeOptions> Homes { get; set; } = [];
}

/// <summary>
/// The engine's bounds, in one place. docs/time-outs.md says what each costs. They depend on each other:
/// prepare ≥ lease + 2 × SQL, response &gt; prepare + lease.
/// </summary>
internal static class EngineLimits
{
    /// <summary>The slowest statement that is waited for. The server gives up on a row lock earlier (<see cref="LockWaitSeconds"/>).</summary>
    public const int SqlTimeoutSeconds = 2;

    /// <summary>How long a statement waits for a row that another silo has locked.</summary>
    public const int LockWaitSeconds = 1;

    /// <summary>
    /// When the server ends a session of the money path that says nothing, and rolls back what it had open. Less than it takes to
    /// declare a silo dead, so that the rows of a silo that hangs are free when others take over.
    /// </summary>
    public const int SessionIdleSeconds = 5;

    /// <summary>A kept connection that was not used for so long is replaced; far enough from <see cref="SessionIdleSeconds"/>.</summary>
    public static readonly TimeSpan KeptIdleMax = TimeSpan.FromSeconds(3);

    /// <summary>How long opening a connection may take.</summary>
    public const int ConnectTimeoutSeconds = 2;

    /// <summary>Operations that wait for one home's writer, and look-ups that wait for its reader; more are refused.</summary>
    public const int QueueMax = 8_192;

    /// <summary>Operations in one MySQL transaction. Larger batches gain nothing and hold locks longer.</summary>
    public const int BatchMax = 128;

    /// <summary>Text of all members of a batch. A larger operation is a batch of its own.</summary>
    public const long BatchBytesMax = 4 * 1024 * 1024;

    /// <summary>The largest packet that a home must take (<see cref="HomeCheck"/>), MariaDB's default.</summary>
    public const long PacketBytesMin = 16 * 1024 * 1024;

    /// <summary>Text of one operation; a larger one could not be sent. The rest of a packet is the text of the statements.</summary>
    public const long OperationBytesMax = PacketBytesMin - (256 * 1024);

    /// <summary>Members of a batch that had to leave it and wait for a lock on a connection of their own, at once.</summary>
    public const int AloneMax = 8;

    /// <summary>The same with those that wait for their turn; more are refused. At one lock wait each they would wait a minute.</summary>
    public const int AloneWaitingMax = 512;

    /// <summary>Attempts to find out whether a commit of unknown outcome landed.</summary>
    public const int ResolveAttemptsMax = 3;

    /// <summary>How long an account waits before it tries again to cancel what a home that is down may have committed.</summary>
    public static readonly TimeSpan CancelRetryPause = TimeSpan.FromMilliseconds(500);

    /// <summary>How long metadata that nobody waits for may stay unwritten.</summary>
    public static readonly TimeSpan DeferMax = TimeSpan.FromMilliseconds(700);
}
