using System.ComponentModel.DataAnnotations;
using System.Net;
using Banking.Homes;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Serilog;
using Serilog.Formatting.Compact;

namespace Banking;

/// <summary>Where this silo listens: section <c>Silo</c>.</summary>
internal sealed class SiloHostOptions
{
    /// <summary>Name in membership, logs and metrics; one silo each.</summary>
    [Required]
    public string Name { get; set; } = Environment.MachineName;

    /// <summary>The address that other silos and clients reach. Orleans' ports have no TLS: loopback or a private network only.</summary>
    [Required]
    public string AdvertisedAddress { get; set; } = "127.0.0.1";

    /// <summary>Port for other silos.</summary>
    [Range(1, 65_535)]
    public int Port { get; set; } = 11_111;

    /// <summary>Port for clients.</summary>
    [Range(1, 65_535)]
    public int GatewayPort { get; set; } = 30_000;
}

/// <summary>The silo host.</summary>
internal static class BankingSilo
{
    /// <summary>Orleans' name for MySqlConnector as an ADO.NET provider.</summary>
    public const string Invariant = "MySql.Data.MySqlConnector";

    /// <summary>Serves until stopped; 1 when the start was refused, with the reason in the log.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        try
        {
            using var host = Build(args);
            await host.RunAsync();
            return 0;
        }
        catch (Exception exception) when (exception is HomeRefusedException or OptionsValidationException)
        {
            await Console.Error.WriteLineAsync(exception.Message);
            return 1;
        }
    }

    public static IHost Build(string[] args, Action<HostApplicationBuilder>? configure = null)
    {
        var builder = Host.CreateApplicationBuilder(args);
        builder.Services.AddSerilog(
            (_, logger) => logger.ReadFrom.Configuration(builder.Configuration).WriteTo.Console(new RenderedCompactJsonFormatter()), preserveStaticLogger: true);
        builder.Services.AddOptions<SiloHostOptions>().BindConfiguration("Silo").ValidateDataAnnotations().ValidateOnStart();
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(25));
        configure?.Invoke(builder);

        var options = builder.Configuration.GetSection("Silo").Get<SiloHostOptions>() ?? new SiloHostOptions();
        var system = builder.Configuration.GetConnectionString("System")
            ?? throw new OptionsValidationException("System", typeof(string), ["Expected ConnectionStrings:System, the database bank_system."]);
        builder.UseOrleans(silo =>
        {
            silo.AddBankingGrains(builder.Configuration);
            silo.Configure<SiloOptions>(silo => silo.SiloName = options.Name);
            silo.Configure<ClusterOptions>(cluster => (cluster.ClusterId, cluster.ServiceId) =
                (builder.Configuration["Orleans:ClusterId"] ?? "bank", builder.Configuration["Orleans:ServiceId"] ?? "bank"));
            silo.ConfigureEndpoints(IPAddress.Parse(options.AdvertisedAddress), options.Port, options.GatewayPort, listenOnAnyHostAddress: false);
            silo.UseAdoNetClustering(clustering => (clustering.Invariant, clustering.ConnectionString) = (Invariant, system));
            silo.UseAdoNetReminderService(reminders => (reminders.Invariant, reminders.ConnectionString) = (Invariant, system));
            silo.Configure<ClusterMembershipOptions>(membership =>
            {
                // A dead silo is declared dead in at most 6 s; docs/time-outs.md. Left to itself Orleans lets the probe time-out grow to
                // four times, and does not vote against a silo that was heard within three of those.
                membership.ProbeTimeout = membership.MaxProbeTimeout = TimeSpan.FromSeconds(1.5);
                membership.NumMissedProbesLimit = 3;

                // After all silos died at once there is nobody to vote; new ones wait until the old entries are stale.
                membership.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(2);
                membership.NumMissedTableIAmAliveLimit = 3;
                membership.TableRefreshTimeout = TimeSpan.FromSeconds(10);
                membership.DefunctSiloExpiration = TimeSpan.FromDays(1);
                membership.DefunctSiloCleanupPeriod = TimeSpan.FromHours(1);
            });
        });
        return builder.Build();
    }
}
