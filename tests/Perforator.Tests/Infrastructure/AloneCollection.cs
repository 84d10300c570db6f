namespace Perforator.Tests.Infrastructure;

/// <summary>
/// Tests that trace threads from this process, or that start dozens of recorders at once: while they run, no others do. A tracer's stops
/// and System.Diagnostics.Process both answer SIGCHLD.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneCollection
{
    public const string Name = "alone";
}
