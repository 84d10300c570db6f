using Perforator.Bytes;

namespace Perforator.Symbolize;

/// <summary>
/// Decodes .pseudo_probe: a forest of functions with what is inlined into them, each with its probes. A probe's address is the
/// difference to the probe before it; the first counts from the function's symbol, or from the symbol that a sentinel names, when the
/// code was split off.
/// </summary>
internal sealed class PseudoProbeDecoder(
    IReadOnlyDictionary<ulong, ProbedFunction> functions, IReadOnlyDictionary<ulong, ulong> symbolAddresses, LossCounts losses)
{
    /// <summary>Deeper inlining means damage.</summary>
    private const int MaxDepth = 1024;

    private readonly List<PseudoProbe> probes = [];
    private ulong? address;

    public IReadOnlyList<PseudoProbe> Probes => probes;

    /// <summary>Reads the whole section.</summary>
    /// <exception cref="MalformedInputException">The section is damaged.</exception>
    public void Decode(ReadOnlySpan<byte> section)
    {
        SpanReader reader = new(section, ".pseudo_probe");
        // The callers being read, with how many inlined calls each still has to come.
        Stack<(ProbeContext Context, uint Inlined)> open = new();
        while (!reader.AtEnd)
        {
            uint callProbe = 0;
            ProbeContext? caller = null;
            if (open.TryPop(out (ProbeContext Context, uint Inlined) top))
            {
                caller = top.Context;
                callProbe = ReadU32(ref reader);
                if (top.Inlined > 1)
                    open.Push((top.Context, top.Inlined - 1));
            }
            ulong guid = reader.ReadU64();
            if (caller is null)
                address = symbolAddresses.TryGetValue(guid, out ulong start) ? start : null;
            ProbeContext context = new(functions.TryGetValue(guid, out ProbedFunction? known) ? known : new(guid, 0, ""), caller, callProbe);
            uint count = ReadU32(ref reader);
            uint inlined = ReadU32(ref reader);
            for (; count > 0; count--)
                ReadProbe(ref reader, context);
            if (caller is null && address is null)
                losses.Add(PseudoProbes.UnknownAddress);
            if (inlined == 0)
                continue;
            if (open.Count == MaxDepth)
                throw reader.Malformed($"calls are inlined more than {MaxDepth} deep");
            open.Push((context, inlined));
        }
        if (open.Count > 0)
            throw reader.Malformed("truncated");
    }

    private void ReadProbe(ref SpanReader reader, ProbeContext context)
    {
        uint index = ReadU32(ref reader);
        byte packed = reader.ReadU8();
        PseudoProbeAttributes attributes = (PseudoProbeAttributes)(packed >> 4 & 7);
        bool isSentinel = (attributes & PseudoProbeAttributes.Sentinel) != 0;
        if ((packed & 0x80) != 0)
        {
            long difference = reader.ReadSLeb128();
            address = address is { } before ? unchecked(before + (ulong)difference) : null;
        }
        else
        {
            ulong value = reader.ReadU64();
            address = !isSentinel ? value : symbolAddresses.TryGetValue(value, out ulong start) ? start : null;
        }
        uint discriminator = (attributes & PseudoProbeAttributes.HasDiscriminator) != 0 ? ReadU32(ref reader) : 0;
        if (!isSentinel && address is { } at)
            probes.Add(new(new(at), context, index, (PseudoProbeType)(packed & 0xf), attributes, discriminator));
    }

    private static uint ReadU32(ref SpanReader reader)
    {
        ulong value = reader.ReadULeb128();
        return value <= uint.MaxValue ? (uint)value : throw reader.Malformed($"{value} does not fit 32 bits");
    }
}
