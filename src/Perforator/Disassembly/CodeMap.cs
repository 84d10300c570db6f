namespace Perforator.Disassembly;

/// <summary>A section that holds instructions.</summary>
/// <param name="Address">Address of its first byte.</param>
/// <param name="Bytes">Its contents.</param>
public sealed record CodeSection(BinaryAddress Address, ReadOnlyMemory<byte> Bytes)
{
    /// <summary>One past the last byte.</summary>
    public BinaryAddress End => new(Address.Value + (ulong)Bytes.Length);
}

/// <summary>
/// Where a binary's instructions begin and which of them branch. Decoding starts at every symbol and runs to the next, as far as it
/// is asked for: only touched functions are decoded. Bytes before a section's first symbol are no known code. Not thread-safe.
/// </summary>
public sealed class CodeMap
{
    // Per byte of code: 0 inside an instruction or where nothing decodes; else length | kind << 4 at an instruction's first byte.
    private const int LengthMask = 15;
    private const int KindShift = 4;

    private readonly IInstructionDecoder decoder;
    private readonly CodeSection[] sections;
    private readonly ulong[] starts;
    private readonly int[] startSections;
    private readonly byte[]?[] maps;
    private int lastChunk;

    /// <param name="decoder">The architecture's decoder.</param>
    /// <param name="sections">The sections to look into; none overlaps another.</param>
    /// <param name="symbols">Addresses at which an instruction is known to begin; any order, any number of times, strays allowed.</param>
    public CodeMap(IInstructionDecoder decoder, IEnumerable<CodeSection> sections, ReadOnlySpan<ulong> symbols)
    {
        this.decoder = decoder;
        this.sections = [.. sections];
        Array.Sort(this.sections, static (a, b) => a.Address.CompareTo(b.Address));
        ulong[] sorted = [.. symbols];
        Array.Sort(sorted);
        List<ulong> kept = new(sorted.Length);
        List<int> owners = new(sorted.Length);
        int section = 0;
        foreach (ulong start in sorted)
        {
            while (section < this.sections.Length && start >= this.sections[section].End.Value)
                section++;
            if (section == this.sections.Length)
                break;
            if (start < this.sections[section].Address.Value || (kept.Count > 0 && kept[^1] == start))
                continue;
            kept.Add(start);
            owners.Add(section);
        }
        starts = [.. kept];
        startSections = [.. owners];
        maps = new byte[starts.Length][];
    }

    /// <summary>Bytes of instructions decoded so far.</summary>
    public ulong DecodedBytes { get; private set; }

    /// <summary>Whether an instruction begins at the address.</summary>
    public bool IsInstruction(BinaryAddress address) => Entry(address.Value) != 0;

    /// <summary>The kind and length of the instruction at an address; null when none begins there.</summary>
    public (InstructionKind Kind, int Length)? At(BinaryAddress address)
    {
        int entry = Entry(address.Value);
        return entry == 0 ? null : ((InstructionKind)(entry >> KindShift), entry & LengthMask);
    }

    /// <summary>
    /// Whether an instruction at or after <paramref name="begin"/> and before <paramref name="end"/> always leaves: a direct jump, a
    /// call or a return. Such a range cannot have run without a taken branch. Indirect jumps are not looked at, as in llvm-profgen.
    /// </summary>
    public bool LeavesBetween(BinaryAddress begin, BinaryAddress end)
    {
        ulong address = begin.Value;
        while (address < end.Value && Next(ref address, end.Value - 1, out InstructionKind kind, out int length))
        {
            if (kind is InstructionKind.UnconditionalBranch or InstructionKind.Call or InstructionKind.IndirectCall
                or InstructionKind.Return)
                return true;
            address += (ulong)length;
        }
        return false;
    }

    /// <summary>
    /// Moves <paramref name="address"/> on to the first instruction that begins at or after it and not after <paramref name="last"/>.
    /// False when there is none.
    /// </summary>
    public bool Next(ref ulong address, ulong last, out InstructionKind kind, out int length)
    {
        kind = default;
        length = 0;
        for (int chunk = ChunkAt(address); chunk < starts.Length; chunk++)
        {
            if (chunk < 0)
                continue;
            if (starts[chunk] > last)
                return false;
            if (address < starts[chunk])
                address = starts[chunk];
            byte[] map = maps[chunk] ?? Decode(chunk);
            for (ulong offset = address - starts[chunk]; offset < (ulong)map.Length; offset++)
            {
                if (map[offset] == 0)
                    continue;
                address = starts[chunk] + offset;
                kind = (InstructionKind)(map[offset] >> KindShift);
                length = map[offset] & LengthMask;
                return address <= last;
            }
        }
        return false;
    }

    private int Entry(ulong address)
    {
        int chunk = ChunkAt(address);
        if (chunk < 0)
            return 0;
        ulong offset = address - starts[chunk];
        byte[] map = maps[chunk] ?? Decode(chunk);
        return offset < (ulong)map.Length ? map[offset] : 0;
    }

    /// <summary>The last chunk that begins at or before an address; -1 when there is none.</summary>
    private int ChunkAt(ulong address)
    {
        if (lastChunk < starts.Length && starts[lastChunk] <= address
            && (lastChunk + 1 == starts.Length || address < starts[lastChunk + 1]))
            return lastChunk;
        int found = Array.BinarySearch(starts, address);
        if (found < 0)
            found = ~found - 1;
        if (found >= 0)
            lastChunk = found;
        return found;
    }

    private byte[] Decode(int chunk)
    {
        CodeSection section = sections[startSections[chunk]];
        ulong start = starts[chunk];
        bool closes = chunk + 1 == starts.Length || startSections[chunk + 1] != startSections[chunk];
        ulong end = closes ? section.End.Value : starts[chunk + 1];
        byte[] map = new byte[end - start];
        // The last instruction may run on past the next symbol: cut at the section's end, not at the chunk's.
        ReadOnlySpan<byte> code = section.Bytes.Span[(int)(start - section.Address.Value)..];
        for (int offset = 0; offset < map.Length;)
        {
            bool valid = decoder.TryDecode(code[offset..], new(start + (ulong)offset), out Instruction instruction);
            if (valid)
                map[offset] = (byte)(instruction.Length | (int)instruction.Kind << KindShift);
            offset += instruction.Length;
        }
        DecodedBytes += (ulong)map.Length;
        return maps[chunk] = map;
    }
}
