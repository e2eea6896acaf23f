namespace Banking;

internal static class Verify
{
    public static Task<int> RunAsync(string[] args, TextWriter output) => Task.FromResult(args.Length + (output is null ? 1 : 0));
}
