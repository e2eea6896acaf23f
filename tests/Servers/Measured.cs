namespace Banking.Tests.Servers;

/// <summary>What a test measured: in its output, and in the file that <c>./bank test</c> prints at the end.</summary>
internal static class Measured
{
    private static readonly Lock Sync = new();

    public static void Say(string line)
    {
        TestContext.Current.TestOutputHelper?.WriteLine(line);
        if (Environment.GetEnvironmentVariable("BANK_MEASURED") is { Length: > 0 } file)
        {
            lock (Sync)
            {
                File.AppendAllText(file, line + "\n");
            }
        }
    }
}
