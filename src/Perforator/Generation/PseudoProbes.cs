using System.Text;
using Perforator.Bytes;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>An inlined copy of a function, or a function itself, in the tree that .pseudo_probe encodes.</summary>
internal sealed class ProbeInlineNode(ulong guid, ProbeInlineNode? parent, uint callProbe)
{
    /// <summary>MD5 of the function's name, its first 8 bytes.</summary>
    public ulong Guid { get; } = guid;

    /// <summary>What it is inlined into; null for a function itself.</summary>
    public ProbeInlineNode? Parent { get; } = parent;

    /// <summary>The parent's call probe it is inlined at.</summary>
    public uint CallProbe { get; } = callProbe;

    /// <summary>Number of inlined calls around it.</summary>
    public int Depth { get; } = parent is null ? 0 : parent.Depth + 1;
}

/// <summary>One probe at one instruction.</summary>
internal sealed class PseudoProbe(ProbeInlineNode node, uint index, bool isCall, uint discriminator)
{
    /// <summary>The inlined copy it belongs to.</summary>
    public ProbeInlineNode Node { get; } = node;

    /// <summary>Its number in the function, from 1, the entry block.</summary>
    public uint Index { get; } = index;

    /// <summary>Whether it marks a call rather than a block.</summary>
    public bool IsCall { get; } = isCall;

    /// <summary>Tells copies of it apart in flow-sensitive profiles; else 0.</summary>
    public uint Discriminator { get; } = discriminator;

    /// <summary>Whether it stands in the function's entry block.</summary>
    public bool IsEntry => Index == 1;
}

/// <summary>A function's descriptor: its name and the checksum of its control-flow graph.</summary>
internal readonly record struct ProbeDescriptor(string Name, ulong Checksum);

/// <summary>
/// Pseudo probes (<c>-fpseudo-probe-for-profiling</c>): which blocks and calls of which functions stand at which instructions.
/// Formats as llvm/include/llvm/MC/MCPseudoProbe.h describes them.
/// </summary>
internal sealed class PseudoProbes
{
    private const byte AttributeSentinel = 2;
    private const byte AttributeHasDiscriminator = 4;

    private readonly Dictionary<ulong, ProbeDescriptor> descriptors = [];
    private readonly Dictionary<ulong, List<PseudoProbe>> byAddress = [];

    private PseudoProbes() { }

    /// <summary>The damage that ended reading early; null when there was none.</summary>
    public MalformedInputException? Damage { get; private set; }

    /// <summary>The probes at an instruction, in the order of the section.</summary>
    public IReadOnlyList<PseudoProbe> At(ulong address) => byAddress.TryGetValue(address, out List<PseudoProbe>? probes) ? probes : [];

    /// <summary>All probes that were wanted, with the addresses of their instructions.</summary>
    public IEnumerable<(ulong Address, PseudoProbe Probe)> All =>
        byAddress.SelectMany(static at => at.Value.Select(probe => (at.Key, probe)));

    /// <summary>All descriptors.</summary>
    public IEnumerable<ProbeDescriptor> Descriptors => descriptors.Values;

    /// <summary>The descriptor of a function.</summary>
    public bool TryDescribe(ulong guid, out ProbeDescriptor descriptor) => descriptors.TryGetValue(guid, out descriptor);

    /// <param name="descriptorSection">.pseudo_probe_desc.</param>
    /// <param name="probeSection">.pseudo_probe.</param>
    /// <param name="isWanted">Whether a function's probes are wanted, by its GUID.</param>
    /// <param name="startOf">Where the symbol of a GUID begins; null when it is unknown.</param>
    public static PseudoProbes Parse(
        ReadOnlySpan<byte> descriptorSection, ReadOnlySpan<byte> probeSection, Predicate<ulong> isWanted, Func<ulong, ulong?> startOf)
    {
        PseudoProbes probes = new();
        try
        {
            probes.ReadDescriptors(descriptorSection);
            probes.ReadProbes(probeSection, isWanted, startOf);
        }
        catch (MalformedInputException e)
        {
            probes.Damage = e;
        }
        return probes;
    }

    private void ReadDescriptors(ReadOnlySpan<byte> section)
    {
        SpanReader reader = new(section, ".pseudo_probe_desc");
        while (!reader.AtEnd)
        {
            ulong guid = reader.ReadU64(), checksum = reader.ReadU64();
            string name = Encoding.UTF8.GetString(reader.ReadBytes(reader.ReadULeb128()));
            descriptors.TryAdd(guid, new ProbeDescriptor(name, checksum));
        }
    }

    private void ReadProbes(ReadOnlySpan<byte> section, Predicate<ulong> isWanted, Func<ulong, ulong?> startOf)
    {
        SpanReader reader = new(section, ".pseudo_probe");
        ulong address = 0;
        // Addresses are relative to the one before; producers before LLVM 16 began each function with an absolute one.
        bool addressBased = false;
        // Functions whose inlinees are still to come: the node (null when not wanted) and how many.
        Stack<(ProbeInlineNode? Node, ulong Inlinees)> open = new();
        while (!reader.AtEnd)
        {
            ProbeInlineNode? parent = null;
            uint callProbe = 0;
            bool inlined = open.Count > 0;
            if (inlined)
            {
                (parent, ulong left) = open.Pop();
                if (left > 1)
                    open.Push((parent, left - 1));
                callProbe = (uint)reader.ReadULeb128();
            }
            ulong guid = reader.ReadU64();
            ProbeInlineNode? node = (inlined ? parent is { Depth: < FunctionSamples.MaxInlineDepth - 1 } : isWanted(guid))
                ? new ProbeInlineNode(guid, parent, callProbe) : null;
            if (!inlined && node is not null && !addressBased && startOf(guid) is { } start)
                address = start;

            ulong count = reader.ReadULeb128(), inlinees = reader.ReadULeb128();
            for (ulong i = 0; i < count; i++)
                ReadProbe(ref reader, node, ref address, ref addressBased, startOf);
            if (inlinees > 0)
                open.Push((node, inlinees));
        }
        if (open.Count > 0)
            throw reader.Malformed("truncated: inlined functions are missing");
    }

    private void ReadProbe(
        ref SpanReader reader, ProbeInlineNode? node, ref ulong address, ref bool addressBased, Func<ulong, ulong?> startOf)
    {
        uint index = (uint)reader.ReadULeb128();
        byte bits = reader.ReadU8();
        int type = bits & 15, attributes = bits >> 4 & 7;
        bool sentinel = (attributes & AttributeSentinel) != 0;
        if ((bits & 0x80) != 0)
        {
            address = unchecked(address + (ulong)reader.ReadSLeb128());
        }
        else
        {
            address = reader.ReadU64();
            // A sentinel names, by GUID, the symbol that the probes after it are relative to: a part split off its function.
            if (sentinel)
                address = startOf(address) ?? address;
            else
                addressBased = true;
        }
        uint discriminator = (attributes & AttributeHasDiscriminator) != 0 ? (uint)reader.ReadULeb128() : 0;
        if (node is null || sentinel)
            return;
        if (!byAddress.TryGetValue(address, out List<PseudoProbe>? probes))
            byAddress.Add(address, probes = []);
        probes.Add(new PseudoProbe(node, index, type != 0, discriminator));
    }
}
