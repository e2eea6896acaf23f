using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Banking.ClientApi.Cluster;

/// <summary>Makes the front door a client of the silo cluster. The membership table in <c>bank_system</c> says where the silos are.</summary>
internal static class ClusterSetup
{
    /// <summary>The name by which Orleans finds MySqlConnector.</summary>
    private const string Invariant = "MySql.Data.MySqlConnector";

    private static readonly TimeSpan GatewayRefresh = TimeSpan.FromSeconds(5);

    /// <summary>Above <see cref="Bank.CallTimeout"/>, so that the front door decides first; Orleans looks for late answers only once a second.</summary>
    private static readonly TimeSpan ResponseTimeout = TimeSpan.FromSeconds(11.5);

    public static void AddCluster(this WebApplicationBuilder builder)
    {
        var membership = builder.Configuration.GetConnectionString("System");
        if (string.IsNullOrWhiteSpace(membership))
        {
            throw new OptionsValidationException(
                "ConnectionStrings", typeof(string), ["Expected ConnectionStrings:System, the database of the Orleans membership table, and got none."]);
        }

        var services = builder.Services;
        var others = services.Where(IsHosted).ToHashSet();
        builder.UseOrleansClient(client => client
            .UseAdoNetClustering(clustering =>
            {
                clustering.Invariant = Invariant;
                clustering.ConnectionString = membership;
            })
            .UseTransactions()
            .Configure<ClusterOptions>(cluster =>
            {
                cluster.ClusterId = builder.Configuration["Orleans:ClusterId"] ?? "bank";
                cluster.ServiceId = builder.Configuration["Orleans:ServiceId"] ?? "bank";
            })
            .Configure<GatewayOptions>(gateways => gateways.GatewayListRefreshPeriod = GatewayRefresh)
            .Configure<ClientMessagingOptions>(messaging => messaging.ResponseTimeout = ResponseTimeout));
        services.Remove(services.Single(service => IsHosted(service) && !others.Contains(service)));
        services.AddHostedService<ClusterStarter>();

        services.AddSingleton<ClusterLink>();
        services.AddSingleton<IClusterConnectionStatusObserver>(provider => provider.GetRequiredService<ClusterLink>());
        services.AddSingleton<IClientConnectionRetryFilter>(provider => provider.GetRequiredService<ClusterLink>());
        services.AddScoped<Bank>();
    }

    private static bool IsHosted(ServiceDescriptor service) => service.ServiceType == typeof(IHostedService);
}
