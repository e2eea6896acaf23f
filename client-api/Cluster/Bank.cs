using Orleans.Runtime;
using Orleans.Runtime.Messaging;
using Orleans.Transactions;

namespace Banking.ClientApi.Cluster;

/// <summary>
/// The bank behind the front door, as one request sees it. All grain calls of a request share one time limit, so that
/// its answer comes within 12 s whatever happens behind.
/// </summary>
/// <remarks>
/// Calls throw <see cref="HomeUnavailableException"/> where nothing can have happened and
/// <see cref="NoAnswerException"/> where nobody knows.
/// </remarks>
internal sealed class Bank(IClusterClient grains, ClusterLink link, TimeProvider time)
{
    /// <summary>A transfer answers within 10 s by itself; 11 s leave a second to write the answer.</summary>
    public static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(11);

    private long? _started;

    public Task<TAnswer> Account<TAnswer>(AccountNumber number, Func<IAccountGrain, Task<TAnswer>> call) => Ask(number.Text, call, Left());

    public Task<TAnswer> Transfers<TAnswer>(AccountNumber source, Func<ITransferGrain, Task<TAnswer>> call) => Ask(source.Text, call, Left());

    public Task<TAnswer> Home<TAnswer>(string name, Func<IHomeGrain, Task<TAnswer>> call, TimeSpan? limit = null) => Ask(name, call, limit ?? Left());

    private async Task<TAnswer> Ask<TGrain, TAnswer>(string key, Func<TGrain, Task<TAnswer>> call, TimeSpan limit)
        where TGrain : IGrainWithStringKey
    {
        if (!link.HasStarted)
        {
            throw new HomeUnavailableException("No silo has been reached yet.");
        }

        var openings = link.Openings;
        var isOpen = link.IsOpen;
        Task<TAnswer>? answer = null;
        try
        {
            answer = call(grains.GetGrain<TGrain>(key));
            return await answer.WaitAsync(limit, time);
        }
        catch (Exception exception) when (exception is TimeoutException or SiloUnavailableException or OrleansMessageRejectionException
            or OrleansTransactionException or ClientNotAvailableException or ConnectionFailedException)
        {
            answer?.Ignore();
            // No connection before and none since: the request never left this process.
            throw !isOpen && link.Openings == openings
                ? new HomeUnavailableException("No silo can be reached.")
                : new NoAnswerException(exception);
        }
    }

    // From the first call on, not from the first byte: a client that sends its body slowly must not lose the time for its answer.
    private TimeSpan Left()
    {
        _started ??= time.GetTimestamp();
        var left = CallTimeout - time.GetElapsedTime(_started.Value);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}

/// <summary>A call got no answer in time, or its silo was lost meanwhile. What it changed, if anything, is not known.</summary>
internal sealed class NoAnswerException(Exception innerException)
    : Exception("The bank did not answer in time; whether anything changed is not known.", innerException);
