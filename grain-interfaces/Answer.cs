using System.Diagnostics.CodeAnalysis;

namespace Banking;

/// <summary>An expected refusal, as a value: what was wrong, in one code and one sentence.</summary>
/// <param name="Code">The one code.</param>
/// <param name="Detail">What was expected and what came; never a balance of somebody else's account.</param>
[GenerateSerializer, Immutable, Alias("banking.Refusal")]
public sealed record Refusal([property: Id(0)] Code Code, [property: Id(1)] string Detail)
{
    /// <summary>The transfer that the refusal is stored under; null where nothing was stored.</summary>
    [Id(2)] public string? TransferId { get; init; }

    /// <summary>The account number that the refusal is about, where there are two.</summary>
    [Id(3)] public string? Account { get; init; }

    /// <summary>True when this is the stored answer of an earlier request with the same key.</summary>
    [Id(4)] public bool Replayed { get; init; }
}

/// <summary>A value or a refusal; exactly one of the two is set.</summary>
/// <typeparam name="T">The value's type.</typeparam>
[GenerateSerializer, Immutable, Alias("banking.Answer`1")]
public sealed record Answer<T> where T : class
{
    private Answer(T? value, Refusal? refusal) => (Value, Refusal) = (value, refusal);

    /// <summary>The value; null when refused.</summary>
    [Id(0)] public T? Value { get; private init; }

    /// <summary>The refusal; null when there is a value.</summary>
    [Id(1)] public Refusal? Refusal { get; private init; }

    /// <summary>True when there is a value.</summary>
    [MemberNotNullWhen(true, nameof(Value)), MemberNotNullWhen(false, nameof(Refusal))]
    public bool IsValue => Value is not null;

    /// <summary>Wraps a value.</summary>
    public static implicit operator Answer<T>(T value) => new(value, null);

    /// <summary>Wraps a refusal.</summary>
    public static implicit operator Answer<T>(Refusal refusal) => new(null, refusal);
}

/// <summary>One page of a list.</summary>
/// <typeparam name="T">The item's type.</typeparam>
/// <param name="Items">At most as many items as were asked for.</param>
/// <param name="Next">Where the next page starts, to be passed back as <c>After</c>; null on the last page.</param>
[GenerateSerializer, Immutable, Alias("banking.Page`1")]
public sealed record Page<T>([property: Id(0)] IReadOnlyList<T> Items, [property: Id(1)] long? Next);

/// <summary>Which page of a list is wanted.</summary>
/// <param name="After">The position behind which the page starts; null for the first page.</param>
/// <param name="Descending">Newest first when true.</param>
/// <param name="Limit">1 to <see cref="LimitMax"/> items.</param>
/// <param name="From">Only items at or after this instant (UTC); null for all.</param>
/// <param name="To">Only items before this instant (UTC); null for all.</param>
[GenerateSerializer, Immutable, Alias("banking.PageRequest")]
public sealed record PageRequest(
    [property: Id(0)] long? After = null,
    [property: Id(1)] bool Descending = false,
    [property: Id(2)] int Limit = 50,
    [property: Id(3)] DateTime? From = null,
    [property: Id(4)] DateTime? To = null)
{
    /// <summary>A page fits in one message of well under a mebibyte.</summary>
    public const int LimitMax = 500;
}
