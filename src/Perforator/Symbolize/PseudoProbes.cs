using System.Text;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Symbolize;

/// <summary>
/// The probes that <c>-fpseudo-probe-for-profiling</c> leaves in a binary: .pseudo_probe_desc names the functions, .pseudo_probe
/// places their probes (llvm/include/llvm/MC/MCPseudoProbe.h has the format).
/// </summary>
public sealed class PseudoProbes
{
    /// <summary>Why a function's probes were dropped.</summary>
    public const string UnknownAddress = "function whose pseudo probes have no address, because its symbol is missing: the binary is stripped";

    private readonly Dictionary<ulong, ProbedFunction> functions = [];
    private PseudoProbe[] probes = [];
    private int last;

    private PseudoProbes() { }

    /// <summary>Whether a binary has probes.</summary>
    public static bool ArePresent(ElfFile binary) => binary.HasSection(".pseudo_probe") && binary.HasSection(".pseudo_probe_desc");

    /// <summary>Reads all probes of a binary.</summary>
    /// <param name="losses">Where probes that cannot be placed are counted.</param>
    /// <exception cref="MalformedInputException">A section is damaged.</exception>
    public static PseudoProbes Read(ElfFile binary, LossCounts losses)
    {
        PseudoProbes result = new();
        result.ReadFunctions(binary.SectionData(".pseudo_probe_desc").Span);
        PseudoProbeDecoder decoder = new(result.functions, SymbolAddresses(binary), losses);
        decoder.Decode(binary.SectionData(".pseudo_probe").Span);
        // Stable: several probes of one address stay in the order that the compiler gave them.
        result.probes = [.. decoder.Probes.OrderBy(p => p.Address)];
        return result;
    }

    /// <summary>All functions that have probes, whether or not code of them is left, by GUID.</summary>
    public IReadOnlyDictionary<ulong, ProbedFunction> Functions => functions;

    /// <summary>All probes in address order.</summary>
    public ReadOnlySpan<PseudoProbe> All => probes;

    /// <summary>The probes before one instruction.</summary>
    public ReadOnlySpan<PseudoProbe> At(BinaryAddress address) => Within(address, address);

    /// <summary>The probes of a range of instructions, in address order.</summary>
    /// <param name="begin">Address of the first instruction.</param>
    /// <param name="end">Address of the last instruction.</param>
    public ReadOnlySpan<PseudoProbe> Within(BinaryAddress begin, BinaryAddress end)
    {
        // Callers go through code in address order.
        int first = last < probes.Length && probes[last].Address < begin && (last + 1 == probes.Length || probes[last + 1].Address >= begin)
            ? last + 1
            : FirstFrom(begin);
        int past = first;
        while (past < probes.Length && probes[past].Address <= end)
            past++;
        last = Math.Max(first, past - 1);
        return probes.AsSpan(first, past - first);
    }

    private int FirstFrom(BinaryAddress address)
    {
        int low = 0, high = probes.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (probes[middle].Address < address)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private void ReadFunctions(ReadOnlySpan<byte> section)
    {
        SpanReader reader = new(section, ".pseudo_probe_desc");
        while (!reader.AtEnd)
        {
            ulong guid = reader.ReadU64();
            ulong checksum = reader.ReadU64();
            SpanReader name = reader.Slice(reader.ReadULeb128(), ".pseudo_probe_desc name");
            functions.TryAdd(guid, new ProbedFunction(guid, checksum, Encoding.UTF8.GetString(name.Rest)));
        }
    }

    /// <summary>Addresses of all symbols by the GUID of their name; probes are placed relative to them.</summary>
    private static Dictionary<ulong, ulong> SymbolAddresses(ElfFile binary)
    {
        Dictionary<ulong, ulong> addresses = [];
        foreach (ref readonly ElfSymbol symbol in binary.Symbols.Symbols)
            if (symbol.IsFunction)
                addresses[FunctionNameHash.Of(binary.Symbols.NameBytes(symbol))] = symbol.Address.Value;
        return addresses;
    }
}
