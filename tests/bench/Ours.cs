using System.Globalization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;

namespace Banking.Bench;

/// <summary>The way <c>ours</c>: transfers through the silo's grains, as a trusted back end makes them.</summary>
internal sealed class Ours(IClusterClient client)
{
    public const string Name = "ours";

    /// <summary>Openings under way at once.</summary>
    private const int OpeningsMax = 128;

    /// <summary>Attempts to open one account; a cold silo may need a second.</summary>
    private const int AttemptsMax = 20;

    private static readonly TimeSpan AttemptDelay = TimeSpan.FromMilliseconds(250);

    /// <summary>Callers never run out of money: refusals are not what is measured.</summary>
    private const long OverdraftMinor = 1_000_000_000_00;

    private static readonly Currency Euro = Currency.Parse("EUR");

    private long keys;

    /// <summary>Opens the accounts over homes A and B and one internal account.</summary>
    public async Task<Accounts> OpenAsync(int count, TimeProvider time)
    {
        var numbers = new AccountNumber[count];
        await Parallel.ForAsync(0, count, new ParallelOptions { MaxDegreeOfParallelism = OpeningsMax }, async (index, _) =>
            numbers[index] = await OpenAsync(index % 2 == 0 ? "A" : "B", index % 4 < 2 ? AccountKind.Business : AccountKind.Customer, $"{index}", time));
        return new Accounts(
            [.. numbers.Where(number => number.Home == "A")],
            [.. numbers.Where(number => number.Home == "B")],
            await OpenAsync("A", AccountKind.Internal, "internal", time));
    }

    /// <summary>One transfer under a key of its own. Gives <c>posted</c>, or what came instead.</summary>
    public async Task<string> TransferAsync(AccountNumber from, AccountNumber to)
    {
        try
        {
            var key = Interlocked.Increment(ref keys).ToString(CultureInfo.InvariantCulture);
            var outcome = await client.GetGrain<ITransferGrain>(from.Text).Transfer(new TransferOrder(key, to, new Money(1, Euro), "bench"));
            return outcome.Status switch
            {
                TransferStatus.Posted => Run.Posted,
                TransferStatus.Pending => "pending",
                _ => Codes.NameOf(outcome.Refusal!.Code),
            };
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            return exception.GetType().Name; // counted and printed: a run with failures is a result too
        }
    }

    private async Task<AccountNumber> OpenAsync(string home, AccountKind kind, string key, TimeProvider time)
    {
        var opening = new AccountOpening("bench", key, "bench", Euro, kind, kind == AccountKind.Internal ? 0 : OverdraftMinor);
        for (var attempt = 1; ; attempt++)
        {
            var answer = await client.GetGrain<IHomeGrain>(home).OpenAccount(opening);
            if (answer.IsValue)
            {
                return answer.Value.Account.Number;
            }

            if (attempt == AttemptsMax)
            {
                throw new InvalidOperationException($"Expected account {key} in home {home} to be opened in {AttemptsMax} attempts, got {answer.Refusal.Code}: {answer.Refusal.Detail}");
            }

            await Task.Delay(AttemptDelay, time);
        }
    }
}

/// <summary>The accounts that callers choose from.</summary>
internal sealed record Accounts(AccountNumber[] A, AccountNumber[] B, AccountNumber Internal);

internal static class OursSetup
{
    /// <summary>The name by which Orleans finds MySqlConnector.</summary>
    private const string Invariant = "MySql.Data.MySqlConnector";

    /// <summary>Above the 9.5 s in which a transfer answers.</summary>
    private static readonly TimeSpan ResponseTimeout = TimeSpan.FromSeconds(11.5);

    public static void AddOurs(this HostApplicationBuilder builder)
    {
        var membership = builder.Configuration.GetConnectionString("System")
            ?? throw new InvalidOperationException("Expected ConnectionStrings:System, the database of the Orleans membership table.");
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.UseOrleansClient(client => client
            .UseAdoNetClustering(clustering => (clustering.Invariant, clustering.ConnectionString) = (Invariant, membership))
            .UseTransactions()
            .Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) = ("bank", "bank"))
            .Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = ResponseTimeout));
    }
}
