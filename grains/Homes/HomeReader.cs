using System.Threading.Channels;
using MySqlConnector;

namespace Banking.Homes;

/// <summary>
/// Batches the small reads of the money path: "is this transfer id known?" and "do I still own this row?". One round trip
/// for as many as wait.
/// </summary>
internal sealed class HomeReader : IAsyncDisposable
{
    private readonly Home home;
    private readonly Channel<Query> queue = Channel.CreateBounded<Query>(
        new BoundedChannelOptions(EngineLimits.QueueMax) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    private readonly CancellationTokenSource stopping = new();
    private readonly Task reading;

    public HomeReader(Home home)
    {
        this.home = home;
        reading = Task.Run(ReadAsync);
    }

    /// <summary>The row of a transfer in the order of <see cref="Statements.TransferColumnList"/>; null when there is none.</summary>
    public async Task<object?[]?> FindTransferAsync(string id)
    {
        var query = new Query(null, id);
        await Enqueue(query);
        return query.Row;
    }

    /// <summary>Whether the row still has this version and fence; version 0 for a row that must not exist.</summary>
    public async Task<bool> VerifyAsync(StateTable table, string key, long version, long fence)
    {
        var query = new Query(table, key);
        await Enqueue(query);
        return query.Row is null ? version == 0 : (long)query.Row[1]! == version && (long)query.Row[2]! == fence;
    }

    public async ValueTask DisposeAsync()
    {
        queue.Writer.TryComplete();
        await stopping.CancelAsync();
        await reading;
        stopping.Dispose();
    }

    private Task Enqueue(Query query)
    {
        if (!home.IsAvailable)
        {
            query.Fail($"Home {home.Name} is not available: {home.Reason}");
        }
        else if (!queue.Writer.TryWrite(query))
        {
            query.Fail($"Home {home.Name} has {EngineLimits.QueueMax} look-ups queued, or is stopping.");
        }

        return query.Completion.Task;
    }

    private async Task ReadAsync()
    {
        await using var kept = new KeptConnection(home);
        var batch = new List<Query>();
        while (await queue.Reader.WaitToReadAsync())
        {
            while (batch.Count < EngineLimits.BatchMax && queue.Reader.TryRead(out var query))
            {
                batch.Add(query);
            }

            try
            {
                await ExecuteAsync(await kept.OpenAsync(stopping.Token), batch);
                batch.ForEach(query => query.Completion.TrySetResult());
            }
            catch (Exception exception) when (exception is not OutOfMemoryException)
            {
                home.ReportFailure(exception.Message);
                batch.ForEach(query => query.Fail($"Home {home.Name} did not answer a look-up: {exception.Message}"));
                await kept.DisposeAsync();
            }

            batch.Clear();
        }
    }

    private static async Task ExecuteAsync(MySqlConnection connection, List<Query> batch)
    {
        using var sql = new SqlBatch();
        var groups = batch.GroupBy(query => query.Table).ToList();
        foreach (var group in groups)
        {
            sql.Add(group.Key?.SelectVersions ?? Statements.SelectTransfers).AddKeys(group.Select(query => query.Key).Distinct().ToList()).End();
        }

        await using var reader = await sql.ReadAsync(connection);
        foreach (var group in groups)
        {
            var byKey = group.ToLookup(query => query.Key);
            var keyColumn = group.Key is null ? 2 : 0;
            while (await reader.ReadAsync())
            {
                var values = SqlRow.Read(reader);
                foreach (var query in byKey[(string)values[keyColumn]!])
                {
                    query.Row = values;
                }
            }

            await reader.NextResultAsync();
        }
    }

    /// <summary>A look-up of a transfer when <paramref name="table"/> is null, else a verification of a state row.</summary>
    private sealed class Query(StateTable? table, string key)
    {
        public StateTable? Table { get; } = table;

        public string Key { get; } = key;

        public object?[]? Row { get; set; }

        public TaskCompletionSource Completion { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Fail(string message) => Completion.TrySetException(new HomeUnavailableException(message));
    }
}

internal static class SqlRow
{
    /// <summary>A row's values with null for NULL.</summary>
    public static object?[] Read(MySqlDataReader reader)
    {
        var values = new object?[reader.FieldCount];
        reader.GetValues(values!);
        for (var index = 0; index < values.Length; index++)
        {
            values[index] = values[index] is DBNull ? null : values[index];
        }

        return values;
    }
}
