namespace Perforator.Branches;

/// <summary>Resolves the mappings of one binary only.</summary>
public sealed class SingleModuleResolver(Module module) : IModuleResolver
{
    /// <inheritdoc/>
    public Module? Resolve(Mapping mapping) => module.Matches(mapping) ? module : null;
}
