using Banking.Accounts;
using Banking.Homes;
using Banking.Transfers;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Configuration;
using Orleans.Transactions;
using Orleans.Transactions.Abstractions;

namespace Banking;

/// <summary>Registers the grains, their storage and the transaction time-outs in a silo.</summary>
internal static class BankingGrains
{
    /// <summary>
    /// Time-outs of transactions; docs/time-outs.md has the table with the reasons.
    /// Lease &gt; later lock waits + slowest SQL inside; prepare ≥ lease + 2 × SQL; response &gt; prepare + lease.
    /// </summary>
    public static readonly TimeSpan
        Lease = TimeSpan.FromSeconds(3), Acquire = TimeSpan.FromSeconds(2), Prepare = TimeSpan.FromSeconds(7),
        Ping = TimeSpan.FromSeconds(2), ConfirmRetry = TimeSpan.FromSeconds(1), Response = TimeSpan.FromSeconds(10.5);

    /// <summary>
    /// How long an activation may take to leave. One that is leaving takes no messages any more, and waits for its running requests;
    /// a commit that waits behind a decision of another account never ends then, since the decision is such a message. Every silo
    /// that dies makes activations elsewhere leave. Orleans would give them two hours; here the next message, of the sweep at the
    /// latest, finds them stuck and goes to a new activation, which fences the old one off.
    /// </summary>
    public static readonly TimeSpan Leave = TimeSpan.FromSeconds(5);

    public static ISiloBuilder AddBankingGrains(this ISiloBuilder silo, IConfiguration configuration)
    {
        silo.UseTransactions();
        silo.Configure<TransactionalStateOptions>(options =>
        {
            options.LockTimeout = Lease;
            options.LockAcquireTimeout = Acquire;
            options.PrepareTimeout = Prepare;
            options.RemoteTransactionPingFrequency = Ping;
            options.ConfirmationRetryDelay = ConfirmRetry;
        });
        silo.Configure<SiloMessagingOptions>(options => (options.ResponseTimeout, options.MaxRequestProcessingTime) = (Response, Leave));

        var services = silo.Services;
        services.AddOptions<HomesOptions>()
            .Configure(options => configuration.GetSection("Homes").Bind(options.Homes))
            .Validate(options => options.Homes.Count > 0, "Expected at least one home: set Homes:A:ConnectionString.")
            .Validate(options => options.Homes.Keys.All(AccountNumber.IsHomeName), "Expected home names of a capital letter and up to seven capital letters or digits.")
            .Validate(options => options.Homes.Values.All(home => home.ConnectionString.Length > 0), "Expected Homes:NAME:ConnectionString for every home.")
            .ValidateOnStart();
        services.AddSingleton(TimeProvider.System);
#pragma warning disable RS0030 // the one place where randomness comes from outside; tests register a seeded one
        services.AddSingleton(Random.Shared);
#pragma warning restore RS0030
        services.AddSingleton<HomeInstruments>();
        services.AddSingleton<TransferInstruments>();
        services.AddSingleton<HomeRegistry>();
        services.AddHostedService(provider => provider.GetRequiredService<HomeRegistry>());
        services.AddHostedService<UnsettledSweep>();
        services.AddScoped<DurableAccount>();
        services.AddSingleton<ITransactionDataCopier<AccountState>, AccountStateCopier>();
        services.AddKeyedSingleton<ITransactionalStateStorageFactory, StateStorageFactory>(StateStorageFactory.StorageName);
        services.DecorateTransactionAgent(Lease);
        return silo;
    }

    /// <summary>Orleans gives every transaction 10 s, which would also be the least lease of a lock; here it is <see cref="Lease"/>.</summary>
    private static void DecorateTransactionAgent(this IServiceCollection services, TimeSpan lease)
    {
        var original = services.Last(service => service.ServiceType == typeof(ITransactionAgent));
        services.AddSingleton<ITransactionAgent>(provider =>
            new LeasedTransactionAgent((ITransactionAgent)ActivatorUtilities.CreateInstance(provider, original.ImplementationType!), lease));
    }

    private sealed class LeasedTransactionAgent(ITransactionAgent inner, TimeSpan lease) : ITransactionAgent
    {
        public Task<TransactionInfo> StartTransaction(bool readOnly, TimeSpan timeout) => inner.StartTransaction(readOnly, lease);

        public Task<(TransactionalStatus Status, Exception? exception)> Resolve(TransactionInfo transactionInfo) => inner.Resolve(transactionInfo);

        public Task Abort(TransactionInfo transactionInfo) => inner.Abort(transactionInfo);
    }
}
