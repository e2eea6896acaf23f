using Banking;
using Banking.Homes;
using Banking.TestSilo;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

// The silo of the product, with seams: what to do is in the sections Moment and Guards of the command line.
using var host = BankingSilo.Build(args, builder =>
{
    var moment = builder.Configuration.GetSection("Moment").Get<Moment>();
    builder.Services.AddSingleton(new HomeSeams
    {
        Fences = builder.Configuration.GetValue("Guards:Fences", true),
        Rewrite = moment is null ? null : moment.Queued,
        Locked = moment is null ? null : moment.LockedAsync,
        Committed = moment is null ? null : moment.CommittedAsync,
    });
});
await host.RunAsync();
