namespace Perforator.Symbolize;

/// <summary>What a pseudo probe marks. LLVM's PseudoProbeType.</summary>
public enum PseudoProbeType : byte
{
    Block = 0,
    IndirectCall = 1,
    DirectCall = 2,
}

/// <summary>Properties of a pseudo probe. LLVM's PseudoProbeAttributes.</summary>
[Flags]
public enum PseudoProbeAttributes : byte
{
    None = 0,
    Reserved = 1,
    Sentinel = 2,
    HasDiscriminator = 4,
}

/// <summary>A function that has probes, from .pseudo_probe_desc.</summary>
/// <param name="Guid">The low 64 bits of the MD5 of the name.</param>
/// <param name="Checksum">Hash of the control-flow graph that the probes were inserted in.</param>
/// <param name="Name">Linkage name in the source; compilers may append suffixes to the symbol.</param>
public sealed record ProbedFunction(ulong Guid, ulong Checksum, string Name);

/// <summary>
/// A function's machine code, or one inlined copy of it, as probes tell. Two probes are in the same context exactly if they have
/// the same object.
/// </summary>
/// <param name="Function">The function; its name is empty and its checksum 0 when .pseudo_probe_desc does not know it.</param>
/// <param name="Caller">What it is inlined into; null for the function that the machine code is of.</param>
/// <param name="CallProbe">Index of the probe of the inlined call, in the caller; 0 without caller.</param>
public sealed record ProbeContext(ProbedFunction Function, ProbeContext? Caller, uint CallProbe);

/// <summary>One pseudo probe in the machine code.</summary>
/// <param name="Address">The instruction that it stands before.</param>
/// <param name="Context">The function it is a probe of, with its inlined callers.</param>
/// <param name="Index">Number of the probe in its function, from 1.</param>
/// <param name="Type">What it marks.</param>
/// <param name="Attributes">Its properties.</param>
/// <param name="Discriminator">Tells apart copies of one probe; 0 when there is none.</param>
public readonly record struct PseudoProbe(
    BinaryAddress Address, ProbeContext Context, uint Index, PseudoProbeType Type, PseudoProbeAttributes Attributes, uint Discriminator)
{
    /// <summary>Whether it marks a call.</summary>
    public bool IsCall => Type is PseudoProbeType.IndirectCall or PseudoProbeType.DirectCall;
}
