using MySqlConnector;

namespace Banking.Homes;

/// <summary>The statements of one batch: multi-row, in an order in which no row is missed by one that needs it.</summary>
internal static class BatchStatements
{
    /// <summary>What is removed goes first, since a prepared state may take the place of one with its sequence.</summary>
    public static void AppendStores(SqlBatch sql, List<StoreOperation> stores)
    {
        Append(Statements.DeletePending, "state_key", "sequence", [.. stores.SelectMany(store => store.RemovedPending.Select(sequence => (store.Key, sequence)))]);
        Append(Statements.CancelTransfers, "source", "number", [.. stores.SelectMany(store => store.Ledger.CancelledTransfers)]);
        foreach (var table in stores.GroupBy(store => store.Table))
        {
            AppendRows(table.Key.InsertRows, [.. table.Where(store => store.ExpectsAbsent).Select(store => store.Row)], table.Key.ColumnCount);
            AppendRows(table.Key.InsertRows, [.. table.Where(store => !store.ExpectsAbsent).Select(store => store.Row)], table.Key.ColumnCount, table.Key.OnDuplicateUpdate);
        }

        AppendRows(Statements.InsertPending, [.. stores.SelectMany(store => store.NewPending)], Statements.PendingColumns);
        AppendRows(Statements.InsertPostings, [.. stores.SelectMany(store => store.Ledger.Postings)], Statements.PostingColumns);
        AppendRows(Statements.InsertTransfers, [.. stores.SelectMany(store => store.Ledger.NewTransfers)], Statements.TransferColumns);
        Append(Statements.PostTransfers, "source", "number", [.. stores.SelectMany(store => store.Ledger.PostedTransfers)]);

        void AppendRows(string statement, List<object?[]> rows, int columns, string tail = "")
        {
            if (rows.Count > 0)
            {
                sql.Add(statement).AddRows(rows, columns).Add(tail).End();
            }
        }

        void Append(string statement, string keyColumn, string numberColumn, List<(string, long)> pairs)
        {
            if (pairs.Count > 0)
            {
                sql.Add(statement).AddPairs(keyColumn, numberColumn, pairs).End();
            }
        }
    }

    /// <summary>What loads read, behind the fence against everybody who read it before (rule 3.7).</summary>
    public static void AppendLoads(SqlBatch sql, List<LoadOperation> loads, bool fences)
    {
        foreach (var table in loads.GroupBy(load => load.Table))
        {
            var locked = table.Where(load => load.IsLocked).Select(load => load.Key).ToList();
            if (locked.Count > 0 && fences)
            {
                sql.Add(table.Key.BumpFences).AddKeys(locked).End();
            }

            sql.Add(table.Key.SelectRows).AddKeys(table.Select(load => load.Key).ToList()).End();
        }

        if (loads.Count > 0)
        {
            sql.Add(Statements.SelectPending).AddKeys(loads.ConvertAll(load => load.Key)).Add(Statements.OrderPending).End();
        }
    }

    /// <summary>Reads what loads want, up to the result set that stands before the COMMIT.</summary>
    public static async Task ReadLoadsAsync(MySqlDataReader reader, List<LoadOperation> loads)
    {
        if (loads.Count == 0)
        {
            return;
        }

        var byKey = loads.ToDictionary(load => load.Key);
        for (var tables = loads.DistinctBy(load => load.Table).Count(); tables > 0; tables--)
        {
            while (await reader.ReadAsync())
            {
                byKey[reader.GetString(StateTable.Key)].Row = SqlRow.Read(reader);
            }

            await reader.NextResultAsync();
        }

        while (await reader.ReadAsync())
        {
            byKey[reader.GetString(0)].Pending.Add(SqlRow.Read(reader));
        }

        await reader.NextResultAsync();
    }
}
