using Perforator.Branches;

namespace Perforator.Inputs;

/// <summary>Finds the binary of a mapping, and tells whether it is the build that ran; null when there is none.</summary>
/// <param name="mapping">What was mapped.</param>
/// <param name="why">Why there is none, in a few words; null where that needs no explanation.</param>
public delegate Module? BinaryFinder(Mapping mapping, out string? why);

/// <summary>
/// The binaries behind the mappings of recorded inputs: those that were named or, when none was, whatever the caller finds for a mapping.
/// Safe for use by several threads at once.
/// </summary>
public sealed class RecordedBinaries : IModuleResolver
{
    private readonly object gate = new();
    private readonly Dictionary<string, string> notFound = new(StringComparer.Ordinal);
    private readonly BinaryFinder? find;

    /// <param name="named">The binaries of interest; empty for all that are found.</param>
    /// <param name="find">Finds the binaries when none was named; called by one thread at a time.</param>
    public RecordedBinaries(IReadOnlyList<Module> named, BinaryFinder? find = null)
    {
        Named = named;
        this.find = find;
    }

    /// <summary>The binaries that were named.</summary>
    public IReadOnlyList<Module> Named { get; }

    /// <summary>The one binary that was named; null when there are none or several.</summary>
    public Module? Only => Named is [Module only] ? only : null;

    /// <inheritdoc/>
    public Module? Resolve(Mapping mapping)
    {
        foreach (Module module in Named)
            if (module.Matches(mapping))
                return module;
        if (Named.Count > 0 || find is null)
            return null;
        lock (gate)
        {
            Module? found = find(mapping, out string? why);
            if (why is not null)
                notFound[mapping.FilePath] = why;
            return found;
        }
    }

    /// <summary>Why the file of a mapping was not found; null when it was not looked for, or was found.</summary>
    public string? WhyNot(string path)
    {
        lock (gate)
            return notFound.GetValueOrDefault(path);
    }
}
