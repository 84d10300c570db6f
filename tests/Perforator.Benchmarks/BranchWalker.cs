using System.Globalization;
using System.Text;
using Perforator.Branches;
using Perforator.Disassembly;
using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>
/// Makes branch stacks without hardware that records them, or even a run: walks a binary's real control flow, deciding by chance
/// where conditional branches, jump tables and indirect calls go, each place with leanings of its own. Fixed seed, fixed result.
/// </summary>
/// <remarks>
/// Which code is hot is invented; the edges, the fall-through ranges, calls through the PLT and back, and the text format are as a
/// recording has them. That is what comparing two profile generators needs, at millions of branches a second.
/// </remarks>
public sealed class BranchWalker
{
    private const int MaxCallDepth = 400;

    /// <summary>Chance may keep a walk in one loop for ever; after so many branches it starts over elsewhere.</summary>
    private const int MaxStay = 3000;

    private readonly ElfFile elf;
    private readonly Random random;
    // Of its own, so that the same seed walks the same way whatever is spoilt.
    private readonly Random spoiling;
    private readonly IInstructionDecoder decoder;
    private readonly Dictionary<ulong, (Instruction Instruction, bool Valid)> decoded = [];
    private readonly List<ulong> entries = [];
    private readonly Dictionary<ulong, ulong> functionEnds = [];
    private readonly List<ulong> returns = [];
    private readonly (ulong From, ulong To)[] ring;
    private ulong function;
    private ulong position;
    private long taken;
    private long entered;

    /// <param name="elf">The binary to walk; it needs a symbol table.</param>
    /// <param name="seed">Another seed, another walk.</param>
    /// <param name="depth">Entries of each stack; 32 on current Intel CPUs.</param>
    /// <param name="enters">Whether code outside, and indirect calls, may enter a function, by its name; null for all.</param>
    public BranchWalker(ElfFile elf, int seed = 1, int depth = 32, Func<string, bool>? enters = null)
    {
        this.elf = elf;
        decoder = elf.Machine == ElfMachine.AArch64 ? new Arm64Decoder() : new X64Decoder();
        random = new Random(seed);
        spoiling = new Random(~seed);
        ring = new (ulong, ulong)[depth];
        foreach (ref readonly ElfSymbol symbol in elf.Symbols.Symbols)
        {
            if (!symbol.IsFunction || symbol.Size == 0 || elf.Code(symbol.Address).IsEmpty
                || !functionEnds.TryAdd(symbol.Address.Value, symbol.Address.Value + symbol.Size))
                continue;
            if (enters is null || enters(elf.Symbols.Name(symbol)))
                entries.Add(symbol.Address.Value);
        }
        entries.Sort();
    }

    /// <summary>Added to every address of the binary, as the loader does for position-independent ones.</summary>
    public ulong Bias { get; set; }

    /// <summary>The share of stacks that are spoilt as recordings are: duplicated, lost, swapped and kernel entries, cut stacks.</summary>
    public double Noise { get; init; }

    /// <summary>The share of stacks with an entry whose addresses are a byte off, as another build's profile has them.</summary>
    public double Skid { get; init; }

    /// <summary>Whether no branch comes from or goes to other code, as if the binary had no libraries.</summary>
    public bool StaysInside { get; init; }

    /// <summary>How unevenly functions are entered: 0 evenly, larger values prefer few of them.</summary>
    public double Skew { get; init; } = 2;

    /// <summary>The mapping lines of the binary's executable segments, as perf script prints them.</summary>
    public string MappingLines(string path)
    {
        StringBuilder lines = new();
        foreach (LoadSegment segment in elf.LoadSegments)
        {
            if (!segment.IsExecutable)
                continue;
            Mapping mapping = MappingOf(segment, 4242, path);
            lines.Append(CultureInfo.InvariantCulture,
                $" PERF_RECORD_MMAP2 4242/4242: [{mapping.Start}(0x{mapping.Length:x}) @ {(mapping.Offset.Value == 0 ? "0" : $"0x{mapping.Offset.Value:x}")} 08:01 1234 5678]: r-xp {path}\n");
        }
        return lines.ToString();
    }

    /// <summary>The mapping the kernel makes of a segment: whole pages.</summary>
    public Mapping MappingOf(LoadSegment segment, int process, string path)
    {
        ulong slack = segment.Address.Value & 0xfff;
        return new(process, new(segment.Address.Value - slack
            + Bias), (segment.MemorySize + slack + 0xfff) & ~0xfffUL, new(segment.Offset.Value - slack), path, elf.BuildId);
    }

    /// <summary>
    /// Feeds a sink with stacks of processes that have the binary mapped, in turn, each at its own bias and a microsecond apart.
    /// </summary>
    public void Feed(IBranchSink sink, string path, long samples, params (int Process, ulong Bias)[] processes)
    {
        foreach ((int process, ulong bias) in processes)
        {
            Bias = bias;
            foreach (LoadSegment segment in elf.LoadSegments)
                if (segment.IsExecutable)
                    sink.OnMapping(MappingOf(segment, process, path));
        }
        BranchEntry[] entries = new BranchEntry[ring.Length];
        for (long i = 0; i < samples; i++)
        {
            (int process, Bias) = processes[i % processes.Length];
            ReadOnlySpan<(ulong From, ulong To)> stack = NextStack();
            for (int j = 0; j < stack.Length; j++)
            {
                BranchFlags flags = (stack[j].From - Bias) % 16 == 0 ? BranchFlags.Mispredicted : BranchFlags.Predicted;
                entries[j] = new BranchEntry(new(stack[j].From), new(stack[j].To), flags);
            }
            sink.OnSample(new BranchSample
            {
                ProcessId = process,
                ThreadId = process,
                Time = 2000 + 1000 * (ulong)i,
                InstructionPointer = entries[0].To,
                Stack = entries.AsSpan(0, stack.Length),
                Weight = 1,
            });
        }
    }

    /// <summary>Writes perf script text with the given number of branch entries.</summary>
    public void WritePerfScript(TextWriter text, string path, long branches)
    {
        text.Write(MappingLines(path));
        StringBuilder line = new();
        for (long written = 0; written < branches;)
        {
            ReadOnlySpan<(ulong From, ulong To)> stack = NextStack();
            line.Clear();
            line.Append(CultureInfo.InvariantCulture, $"{stack[0].To,17:x} ");
            foreach ((ulong from, ulong to) in stack)
                line.Append(CultureInfo.InvariantCulture, $"0x{from:x}/0x{to:x}/{(from % 7 == 0 ? 'M' : 'P')}/-/-/0  ");
            line.Append('\n');
            text.Write(line);
            written += stack.Length;
        }
    }

    /// <summary>The next stack, newest first, in runtime addresses; valid until the next call.</summary>
    public ReadOnlySpan<(ulong From, ulong To)> NextStack()
    {
        for (long until = taken + ring.Length; taken < until;)
            if (!Walk())
                until = taken + ring.Length;
        (ulong From, ulong To)[] stack = new (ulong, ulong)[ring.Length];
        for (int i = 0; i < stack.Length; i++)
            stack[i] = ring[(taken - 1 - i) % ring.Length];
        if (spoiling.NextDouble() < Skid)
        {
            ref (ulong From, ulong To) entry = ref stack[spoiling.Next(stack.Length)];
            entry = (entry.From + 1, entry.To + 1);
        }
        return spoiling.NextDouble() < Noise ? Spoil(stack) : stack;
    }

    /// <summary>
    /// Runs from one taken branch to the next; false when the walk had to begin anew elsewhere, without a branch that leads there.
    /// </summary>
    private bool Walk()
    {
        if (function == 0 && !Enter())
            return false;
        ulong at = position;
        while (true)
        {
            (Instruction instruction, bool valid) = Decode(at);
            if (!valid)
                return Enter();
            ulong next = at + (ulong)instruction.Length;
            switch (instruction.Kind)
            {
                case InstructionKind.ConditionalBranch when random.Next(256) < Leaning(at):
                case InstructionKind.UnconditionalBranch:
                    Take(at, instruction.Target);
                    return true;
                case InstructionKind.IndirectBranch:
                    if (Jump(at) is { } target)
                        Take(at, target);
                    else
                        Leave(at);
                    return true;
                case InstructionKind.Call or InstructionKind.IndirectCall:
                    returns.Add(next);
                    if (instruction.Kind == InstructionKind.Call)
                        Take(at, instruction.Target);
                    else if (Callee(at) is { } callee)
                        Take(at, callee);
                    else
                        Leave(at);
                    return true;
                case InstructionKind.Return:
                    Return(at);
                    return true;
                default:
                    at = next;
                    continue;
            }
        }
    }

    /// <summary>Code outside the binary calls in; false when there is none, so that no branch leads there.</summary>
    private bool Enter()
    {
        returns.Clear();
        entered = taken;
        ulong entry = Pick(random.NextDouble());
        if (!StaysInside)
            Record(Library(), entry + Bias);
        position = function = entry;
        return !StaysInside;
    }

    private void Take(ulong from, ulong to)
    {
        Record(from + Bias, to + Bias);
        position = to;
        if (functionEnds.ContainsKey(to))
            function = to;
        if (returns.Count > MaxCallDepth || taken - entered > MaxStay)
            function = 0;
    }

    private void Return(ulong from)
    {
        if (returns.Count > 0)
        {
            position = returns[^1];
            returns.RemoveAt(returns.Count - 1);
            Record(from + Bias, position + Bias);
        }
        else if (StaysInside)
        {
            Take(from, Pick(random.NextDouble()));
        }
        else
        {
            Record(from + Bias, Library());
            function = 0;
        }
    }

    /// <summary>
    /// Out to a library, a branch or two there, and back to the newest return address; or on to another function, if there is no library.
    /// </summary>
    private void Leave(ulong from)
    {
        if (StaysInside)
        {
            Take(from, Pick(random.NextDouble()));
            return;
        }
        Record(from + Bias, Library());
        for (int i = random.Next(3); i > 0; i--)
            Record(Library(), Library());
        if (returns.Count == 0)
        {
            function = 0;
            return;
        }
        position = returns[^1];
        returns.RemoveAt(returns.Count - 1);
        Record(Library(), position + Bias);
    }

    private void Record(ulong from, ulong to) => ring[taken++ % ring.Length] = (from, to);

    private ulong Library() => 0x7f3300000000UL + (ulong)random.Next(1 << 20);

    /// <summary>How often of 256 the branch at an address is taken.</summary>
    private static int Leaning(ulong address) =>
        (int)((address * 0x9E3779B97F4A7C15UL) >> 62) switch { 0 => 20, 1 => 100, 2 => 160, _ => 235 };

    /// <summary>A jump table leads to some instruction of the same function; elsewhere, as in the PLT, out of the binary.</summary>
    private ulong? Jump(ulong from)
    {
        if (function == 0 || from < function || from >= functionEnds[function])
            return null;
        List<ulong> starts = [];
        for (ulong at = function; at < functionEnds[function];)
        {
            (Instruction instruction, bool valid) = Decode(at);
            if (valid)
                starts.Add(at);
            at += (ulong)instruction.Length;
        }
        return starts[(int)((from * 31 + (ulong)random.Next(4) * 7919) % (ulong)starts.Count)];
    }

    /// <summary>An indirect call has up to four callees, one of them outside the binary now and then.</summary>
    private ulong? Callee(ulong from)
    {
        ulong choice = (ulong)Math.Min(random.Next(4), random.Next(4));
        ulong hash = (from + choice * 1_000_003) * 0x9E3779B97F4A7C15UL;
        return hash >> 60 == 0 ? null : Pick((hash & 0xffffff) / (double)0x1000000);
    }

    private ulong Pick(double chance) => entries[(int)(Math.Pow(chance, 1 + Skew) * entries.Count)];

    private (Instruction Instruction, bool Valid) Decode(ulong address)
    {
        if (!decoded.TryGetValue(address, out (Instruction, bool) known))
        {
            ReadOnlyMemory<byte> code = elf.Code(new(address));
            Instruction instruction = new(1, InstructionKind.Sequential, 0);
            bool valid = !code.IsEmpty && decoder.TryDecode(code.Span[..Math.Min(code.Length, 15)], new(address), out instruction);
            decoded.Add(address, known = (valid ? instruction : new(1, InstructionKind.Sequential, 0), valid));
        }
        return known;
    }

    private (ulong From, ulong To)[] Spoil((ulong From, ulong To)[] stack)
    {
        int at = spoiling.Next(stack.Length);
        switch (spoiling.Next(6))
        {
            case 0:
                stack[at] = stack[Math.Max(at - 1, 0)];
                return stack;
            case 1:
                stack[at] = (0xffffffff81000000UL + (ulong)spoiling.Next(1 << 16), stack[at].To);
                return stack;
            case 2:
                return stack[..(1 + at)];
            case 3:
                (stack[at], stack[^1]) = (stack[^1], stack[at]);
                return stack;
            case 4:
                return [.. stack[..at], .. stack[Math.Min(at + 1 + spoiling.Next(3), stack.Length - 1)..]];
            default:
                stack[at] = (0, (ulong)spoiling.NextInt64());
                return stack;
        }
    }
}
