using System.Text.Json;
using System.Text.Json.Serialization;
using Orleans.Runtime;
using Orleans.Transactions;
using Orleans.Transactions.Abstractions;

namespace Banking.Homes;

/// <summary>
/// Orleans' transaction metadata in a format of our own, so that a database never holds names of .NET types and a row
/// written today can be read by every later version: transaction id, ticks, grain id as text, state name, roles.
/// Grain references are rebuilt from grain ids. <c>GoldenRows</c> in the tests keeps old texts readable.
/// </summary>
internal sealed record StoredMetadata(long TimeTicks, IReadOnlyList<StoredCommit> Commits, string? Text)
{
    public static StoredMetadata Empty { get; } = new(0, [], null);

    public long OldestTicks => Commits.Count == 0 ? long.MaxValue : Commits.Min(commit => commit.TimeTicks);

    /// <summary>Takes a copy: Orleans' object is live and gains records while a write is under way.</summary>
    public static StoredMetadata From(TransactionalStateMetaData metadata)
    {
        if (metadata.CommitRecords.Count == 0)
        {
            return new StoredMetadata(metadata.TimeStamp.Ticks, [], null);
        }

        var commits = new StoredCommit[metadata.CommitRecords.Count];
        var index = 0;
        foreach (var (id, record) in metadata.CommitRecords)
        {
            commits[index++] = new StoredCommit(id, record.Timestamp.Ticks, [.. record.WriteParticipants.Select(ManagerReference.From)]);
        }

        return new StoredMetadata(metadata.TimeStamp.Ticks, commits, JsonSerializer.Serialize(commits, MetadataJson.Default.StoredCommitArray));
    }

    public static StoredMetadata Read(long timeTicks, string? text) => text is null
        ? new StoredMetadata(timeTicks, [], null)
        : new StoredMetadata(timeTicks, JsonSerializer.Deserialize(text, MetadataJson.Default.StoredCommitArray)!, text);

    public TransactionalStateMetaData ToOrleans(IGrainFactory grains) => new()
    {
        TimeStamp = new DateTime(TimeTicks, DateTimeKind.Utc),
        CommitRecords = Commits.ToDictionary(
            commit => commit.Id,
            commit => new CommitRecord
            {
                Timestamp = new DateTime(commit.TimeTicks, DateTimeKind.Utc),
                WriteParticipants = [.. commit.Participants.Select(participant => participant.ToOrleans(grains))],
            }),
    };
}

/// <summary>A transaction that this state's grain decided and that not all participants have confirmed.</summary>
internal sealed record StoredCommit(
    [property: JsonPropertyName("id")] Guid Id,
    [property: JsonPropertyName("ticks")] long TimeTicks,
    [property: JsonPropertyName("to")] ManagerReference[] Participants);

/// <summary>A participant of a transaction: grain id as text, state name, Orleans' role flags.</summary>
internal sealed record ManagerReference(
    [property: JsonPropertyName("grain")] string Grain,
    [property: JsonPropertyName("state")] string State,
    [property: JsonPropertyName("roles")] int Roles)
{
    /// <summary>The grain's key, which begins with the name of its home.</summary>
    [JsonIgnore]
    public string GrainKey => GrainId.Parse(Grain).Key.ToString()!;

    /// <summary>Whether the state is a row of <c>account</c>; every other one is a row of <c>grain_state</c>.</summary>
    [JsonIgnore]
    public bool IsAccount => GrainId.Parse(Grain).Type.ToString() == Accounts.AccountGrain.GrainTypeName;

    /// <summary>The key of the state's row: an account's number, else the state's name and the grain's key.</summary>
    [JsonIgnore]
    public string StateKey => IsAccount ? GrainKey : $"{State}/{GrainKey}";

    public static ManagerReference From(ParticipantId participant) =>
        new(participant.Reference.GrainId.ToString(), participant.Name, (int)participant.SupportedRoles);

    public static string Format(ManagerReference reference) => JsonSerializer.Serialize(reference, MetadataJson.Default.ManagerReference);

    public static ManagerReference Read(string text) => JsonSerializer.Deserialize(text, MetadataJson.Default.ManagerReference)!;

    public ParticipantId ToOrleans(IGrainFactory grains) =>
        new(State, (GrainReference)grains.GetGrain(GrainId.Parse(Grain)), (ParticipantId.Role)Roles);
}

[JsonSerializable(typeof(StoredCommit[]))]
[JsonSerializable(typeof(ManagerReference))]
internal sealed partial class MetadataJson : JsonSerializerContext;
