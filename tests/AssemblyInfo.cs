using Xunit.Sdk;
using Xunit.v3;

// Two cores carry the databases, the silos and the tests: classes run one after the other.
[assembly: Parallelization(Mode = ParallelMode.None)]
