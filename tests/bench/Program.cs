using System.Runtime.InteropServices;
using Banking.Bench;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

// ./bank bench starts servers and a silo, runs this against them, and verifies the ledger afterwards.
var builder = Host.CreateApplicationBuilder(args);
var options = builder.Configuration.GetSection("Bench").Get<BenchOptions>() ?? new BenchOptions();
builder.AddOurs();
using var host = builder.Build();
await host.StartAsync();

// Nothing here is worth a drain: half a run has no figures, and ./bank waits to stop the silo.
using var stop = PosixSignalRegistration.Create(PosixSignal.SIGTERM, _ => Environment.Exit(143));

var time = TimeProvider.System;
var ours = new Ours(host.Services.GetRequiredService<IClusterClient>());
var accounts = await ours.OpenAsync(options.Accounts, time);
var meters = Meters.Of(builder.Configuration, options);
var plan = Workload.Plan(accounts);
var run = new Run(ours.TransferAsync, meters, options, time);

await run.WarmUpAsync(plan[^3..]);
Console.WriteLine(Report.Head(options));
var figures = new List<Figure>();
foreach (var workload in plan)
{
    figures.Add(await run.MeasureAsync(Ours.Name, workload));
    Console.WriteLine(Report.Line(figures[^1]));
}

Console.WriteLine(Report.Others(figures));
if (options.JsonFile is { } file)
{
    await File.WriteAllTextAsync(file, Report.Json(options, figures));
}

await host.StopAsync();
