namespace Banking.Homes;

/// <summary>
/// Where tests reach into the engine: a guard to be switched off, a write to be damaged, a moment to die at. Passed by
/// constructors of internal types only; no configuration leads here, and a silo that runs for users has none.
/// </summary>
internal sealed class HomeSeams
{
    /// <summary>
    /// False: what keeps a late write out is gone. A Load neither locks nor fences (rule 3.7), sessions do not end by themselves, a
    /// cancel asks nobody (rule 3.8). It loses money when a write is late.
    /// </summary>
    public bool Fences { get; init; } = true;

    /// <summary>Sees every write before it is queued, and may give another one.</summary>
    public Func<StoreOperation, StoreOperation>? Rewrite { get; init; }

    /// <summary>Awaited when the rows of these operations are locked, before they are written.</summary>
    public Func<string, IReadOnlyList<HomeOperation>, Task>? Locked { get; init; }

    /// <summary>Awaited when these operations are durable, before anybody is told.</summary>
    public Func<string, IReadOnlyList<HomeOperation>, Task>? Committed { get; init; }
}
