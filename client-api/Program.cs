using Banking.ClientApi;
using Banking.ClientApi.Access;
using Microsoft.Extensions.Options;

// The verbs new-key and token are for development: production tokens come from the bank's identity provider.
if (DevelopmentVerbs.TryRun(args) is { } exitCode)
{
    return exitCode;
}

try
{
    await FrontDoor.Build(args).RunAsync();
    return 0;
}
catch (OptionsValidationException wrong)
{
    foreach (var sentence in wrong.Failures)
    {
        await Console.Error.WriteLineAsync(sentence);
    }

    return 1;
}
