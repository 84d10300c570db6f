using Perforator.Branches;
using Perforator.Disassembly;
using Perforator.Elf;

namespace Perforator.Tests.Infrastructure;

/// <summary>
/// Branch stacks without a branch recorder and without the CPU: walks a binary's code, tossing a weighted coin at every conditional
/// branch, following calls and returns and sending indirect branches to functions at random. Every stack is one that the code could
/// leave. The same for the same seed.
/// </summary>
internal sealed class BranchWalk
{
    private const int Depth = 32;
    private const int MaxFrames = 40;

    private readonly ElfFile file;
    private readonly IInstructionDecoder decoder;
    private readonly Random random;
    private readonly ulong[] functions;
    private readonly Stack<ulong> frames = [];
    private readonly List<(ulong From, ulong To)> taken = [];
    private ulong at;

    public BranchWalk(ElfFile file, int seed)
    {
        this.file = file;
        decoder = file.Machine == ElfMachine.AArch64 ? new Arm64Decoder() : new X64Decoder();
        random = new Random(seed);
        List<ulong> starts = [];
        foreach (ElfSymbol symbol in file.Symbols.Symbols)
            if (symbol.IsFunction && symbol.Size > 0 && file.IsCode(symbol.Address) && !file.Symbols.Name(symbol).StartsWith('_'))
                starts.Add(symbol.Address.Value);
        functions = [.. starts.Distinct().Order()];
        at = functions[0];
    }

    /// <summary>Walks on and returns the newest branches, newest first, as binary addresses, and where it stands.</summary>
    public (ulong Address, (ulong From, ulong To)[] Stack) Next()
    {
        for (int wanted = Depth + random.Next(20); wanted > 0;)
            if (Step())
                wanted--;
        taken.RemoveRange(0, taken.Count - Depth);
        return (at, [.. taken.AsEnumerable().Reverse()]);
    }

    /// <summary>Feeds a sink with stacks of processes that have the binary mapped, each at its own bias.</summary>
    public void Feed(IBranchSink sink, string path, int samples, params (int Process, ulong Bias)[] processes)
    {
        foreach ((int process, ulong bias) in processes)
            foreach (LoadSegment segment in file.LoadSegments.Where(segment => segment.IsExecutable))
                sink.OnMapping(MappingOf(segment, process, bias, path, file.BuildId));
        ulong time = 1000;
        for (int i = 0; i < samples; i++)
        {
            (int process, ulong bias) = processes[i % processes.Length];
            (ulong address, (ulong From, ulong To)[] stack) = Next();
            BranchEntry[] entries = [.. stack.Select(branch => new BranchEntry(
                new(branch.From + bias), new(branch.To + bias), branch.From % 16 == 0 ? BranchFlags.Mispredicted : BranchFlags.Predicted))];
            sink.OnSample(new BranchSample
            {
                ProcessId = process,
                ThreadId = process,
                Time = time += 1000,
                InstructionPointer = new(address + bias),
                Stack = entries,
                Weight = 1,
            });
        }
    }

    /// <summary>The mapping the kernel makes of a segment: whole pages.</summary>
    public static Mapping MappingOf(LoadSegment segment, int process, ulong bias, string path, BuildId buildId)
    {
        ulong slack = segment.Address.Value & 0xfff;
        return new(process, new(segment.Address.Value - slack + bias), (segment.FileSize + slack + 0xfff) & ~0xfffUL, new(segment.Offset.Value - slack), path, buildId);
    }

    private bool Step()
    {
        ReadOnlyMemory<byte> code = file.Code(new(at));
        if (code.IsEmpty || !decoder.TryDecode(code.Span, new(at), out Instruction instruction))
        {
            at = AnyFunction();
            frames.Clear();
            taken.Clear();
            return false;
        }
        ulong next = at + (ulong)instruction.Length;
        ulong target;
        switch (instruction.Kind)
        {
            case InstructionKind.ConditionalBranch:
                // Some branches are mostly taken, some hardly ever: as in real programs.
                bool take = random.Next(100) < 5 + (int)(at * 0x9E3779B97F4A7C15UL >> 40) % 90;
                target = take ? instruction.Target : next;
                if (!take)
                {
                    at = next;
                    return false;
                }
                break;
            case InstructionKind.UnconditionalBranch:
                target = instruction.Target;
                break;
            case InstructionKind.Call or InstructionKind.IndirectCall:
                if (frames.Count == MaxFrames)
                    frames.Clear();
                frames.Push(next);
                target = instruction.Kind == InstructionKind.Call ? instruction.Target : AnyFunction();
                break;
            case InstructionKind.IndirectBranch:
                target = AnyFunction();
                break;
            case InstructionKind.Return:
                target = frames.Count > 0 ? frames.Pop() : AnyFunction();
                break;
            default:
                at = next;
                return false;
        }
        taken.Add((at, target));
        at = target;
        return true;
    }

    private ulong AnyFunction() => functions[random.Next(functions.Length)];
}
