using System.Buffers.Text;
using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Primitives;

namespace Banking.ClientApi.Http;

internal sealed record ListBody<T>(IReadOnlyList<T> Items, string? NextCursor);

/// <summary>
/// The query of a list: which page, and what is filtered. The cursor carries list, account, order and filters, so it
/// is enough on its own; where they are given beside it they must be the same.
/// </summary>
internal sealed class ListQuery
{
    private const int LimitDefault = 50;

    /// <summary>Room for the longest filters (a reference of 140 characters) in base64url.</summary>
    private const int CursorLengthMax = 2048;

    private readonly string _list;
    private readonly SortedDictionary<string, string> _filters;

    private ListQuery(string list, SortedDictionary<string, string> filters, PageRequest page) => (_list, _filters, Page) = (list, filters, page);

    public PageRequest Page { get; }

    /// <summary>A filter as it was given; null when it was not.</summary>
    public string? this[string filter] => _filters.GetValueOrDefault(filter);

    /// <param name="request">The request.</param>
    /// <param name="list">What is listed and of which account: a cursor of another list is refused.</param>
    /// <param name="filters">The filters of this list beside from, to and order.</param>
    /// <param name="checks">Where to say what is wrong.</param>
    public static ListQuery Read(HttpRequest request, string list, string[] filters, Checks checks)
    {
        var given = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in (string[])["from", "to", "order", .. filters])
        {
            if (Query.Read(request, name, checks) is { } value)
            {
                given[name] = value;
            }
        }

        long? after = null;
        if (Query.Read(request, "cursor", checks) is { } cursor)
        {
            if (Position.TryDecode(cursor, out var position) && position.List == list &&
                given.All(filter => position.Filters.GetValueOrDefault(filter.Key) == filter.Value))
            {
                (given, after) = (position.Filters, position.After);
            }
            else
            {
                checks.Add(Code.InvalidCursor, "cursor", "Expected a cursor that this list gave out, with the same filters and order.");
            }
        }

        return new ListQuery(list, given, ReadPage(request, given, after, checks));
    }

    public ListBody<TBody> Answer<TItem, TBody>(Page<TItem> page, Func<TItem, TBody> body) =>
        new([.. page.Items.Select(body)], page.Next is { } next ? new Position(_list, _filters, next).Encode() : null);

    private static PageRequest ReadPage(HttpRequest request, SortedDictionary<string, string> given, long? after, Checks checks)
    {
        var descending = given.GetValueOrDefault("order") switch
        {
            null or "asc" => false,
            "desc" => true,
            _ => Wrong("order", "Expected asc or desc."),
        };
        var from = ReadTime("from");
        var to = ReadTime("to");
        if (from > to)
        {
            Wrong("to", "Expected a time that is not before from.");
        }

        var limit = LimitDefault;
        if (Query.Read(request, "limit", checks) is { } text &&
            (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out limit) || limit is < 1 or > PageRequest.LimitMax))
        {
            Wrong("limit", $"Expected a number from 1 to {PageRequest.LimitMax}.");
        }

        return new PageRequest(after, descending, limit, from, to);

        DateTime? ReadTime(string name)
        {
            if (given.GetValueOrDefault(name) is not { } value)
            {
                return null;
            }

            if (!Wire.TryReadTime(value, out var time))
            {
                Wrong(name, "Expected an RFC 3339 time such as 2026-01-31T12:00:00Z; write + in an offset as %2B.");
            }

            return time;
        }

        bool Wrong(string field, string sentence)
        {
            checks.Add(Code.ValidationFailed, field, sentence);
            return false;
        }
    }

    /// <summary>What a cursor says. A forged one can name no other account's rows: the list it must match is the request's own.</summary>
    private sealed record Position(string List, SortedDictionary<string, string> Filters, long After)
    {
        public string Encode() => Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(this, Wire.Json));

        public static bool TryDecode(string cursor, out Position position)
        {
            position = null!;
            if (cursor.Length > CursorLengthMax || !Base64Url.IsValid(cursor))
            {
                return false;
            }

            try
            {
                position = JsonSerializer.Deserialize<Position>(Base64Url.DecodeFromChars(cursor), Wire.Json)!;
                return position is { After: >= 0 } && position.Filters.Values.All(value => value is not null);
            }
            catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException)
            {
                return false;
            }
        }
    }
}

/// <summary>Single values of the query string.</summary>
internal static class Query
{
    /// <summary>The value of a name; null when it is not there. Given twice it is refused: one of the two would be ignored.</summary>
    public static string? Read(HttpRequest request, string name, Checks checks)
    {
        StringValues values = request.Query[name];
        if (values.Count > 1)
        {
            checks.Add(Code.ValidationFailed, name, "Expected it at most once.");
        }

        return values.Count == 0 ? null : values[0] ?? "";
    }
}
