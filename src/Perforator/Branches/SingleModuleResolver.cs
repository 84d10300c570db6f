namespace Perforator.Branches;

/// <summary>
/// Resolves the mappings of one binary only: those with its build id or, where a mapping has none, with its file name, since the
/// path in the recording may be that of another host or container.
/// </summary>
public sealed class SingleModuleResolver(Module module) : IModuleResolver
{
    private readonly string fileName = Path.GetFileName(module.Path);

    /// <summary>The build id of a mapping that has the binary's file name but is of another build; empty when there was none.</summary>
    public BuildId OtherBuild { get; private set; }

    /// <summary>Whether any mapping of the binary was seen.</summary>
    public bool WasMapped { get; private set; }

    /// <inheritdoc/>
    public Module? Resolve(Mapping mapping)
    {
        bool sameName = Path.GetFileName(mapping.FilePath) == fileName;
        bool matches = mapping.BuildId.IsEmpty ? sameName : mapping.BuildId == module.BuildId;
        if (!matches && sameName)
            OtherBuild = mapping.BuildId;
        WasMapped |= matches;
        return matches ? module : null;
    }
}
