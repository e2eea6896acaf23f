namespace Banking.Bench;

/// <summary>Who pays whom, and how many callers there are. Each waits for the answer before it sends again (closed loop).</summary>
internal sealed record Workload(string Name, int Callers, Func<Random, (AccountNumber From, AccountNumber To)> Choose)
{
    /// <summary>What is measured, in this order.</summary>
    public static Workload[] Plan(Accounts accounts)
    {
        // The account that is first of all in the lock order: it never decides a transaction, so its commits never share a batch.
        var first = accounts.A.Concat(accounts.B).Min();
        return
        [
            new("uniform", 1, random => AcrossHomes(accounts, random)),
            new("uniform", 64, random => AcrossHomes(accounts, random)),
            new("uniform", 256, random => AcrossHomes(accounts, random)),
            new("hot-internal", 64, random => Hot(accounts, accounts.Internal, random)),
            new("hot-customer", 64, random => Hot(accounts, first, random)),
        ];
    }

    private static (AccountNumber From, AccountNumber To) AcrossHomes(Accounts accounts, Random random) =>
        EitherWay(accounts.A[random.Next(accounts.A.Length)], accounts.B[random.Next(accounts.B.Length)], random);

    /// <summary>The other account is in the other home, so that every transfer touches both servers.</summary>
    private static (AccountNumber From, AccountNumber To) Hot(Accounts accounts, AccountNumber hot, Random random)
    {
        var others = hot.Home == "A" ? accounts.B : accounts.A;
        return EitherWay(hot, others[random.Next(others.Length)], random);
    }

    private static (AccountNumber From, AccountNumber To) EitherWay(AccountNumber one, AccountNumber other, Random random) =>
        random.Next(2) == 0 ? (one, other) : (other, one);
}
