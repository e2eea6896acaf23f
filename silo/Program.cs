using Banking;

// serve (default): a silo; migrate: brings all databases to this version; verify: proves the ledger from SQL alone.
return args.FirstOrDefault() switch
{
    "migrate" => await Migration.RunAsync(args[1..], Console.Out),
    "verify" => await Verify.RunAsync(args[1..], Console.Out),
    _ => await BankingSilo.RunAsync(args),
};
