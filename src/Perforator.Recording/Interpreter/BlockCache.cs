using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Interpreter;

/// <summary>Decoded and lowered blocks of one process, by runtime address.</summary>
/// <param name="lowering">Shared by all processes.</param>
/// <param name="longestBlock">Instructions in a block at most; 1 makes every instruction its own block, for comparing with a real CPU.</param>
/// <param name="translateAtOnce">Blocks get native code before they are executed at all, for comparing with a real CPU.</param>
internal sealed unsafe class BlockCache(int processId, Lowering lowering, int longestBlock = 64, bool translateAtOnce = false) : IDisposable
{
    /// <summary>A block executed so often is worth native code.</summary>
    public const int HotExecutions = 8;

    private const int LongestInstruction = 15;
    private const int DirectSlots = 4096;

    /// <summary>Ops kept before the cache starts anew, some 20 MB.</summary>
    private const int MaxOps = 200_000;

    /// <summary>Code is decoded ahead of its execution up to so many blocks from code that was executed, and up to so many ops in all.</summary>
    private const int ExploredDepth = 16, MaxExploredOps = MaxOps / 2;

    private const int MaxCodePages = 1024;

    /// <summary>Not canonical, so no instruction can be there.</summary>
    private const ulong NoAddress = 1UL << 63;

    private readonly Block?[] direct = new Block?[DirectSlots];
    private readonly Dictionary<ulong, Block> blocks = [];
    /// <summary>By page number: to read code block by block would cost a system call for each.</summary>
    private readonly Dictionary<ulong, byte[]> codePages = [];
    private readonly byte[] code = new byte[LongestInstruction * 64];
    private readonly Op[] scratch = new Op[longestBlock + 1];
    private readonly Queue<(ulong Address, int Depth)> unexplored = [];
    private readonly Queue<Block> untranslated = [];
    private readonly Instruction[] instructions = new Instruction[longestBlock];
    private BlockTranslator? translator;
    private ProcessMap[] stable = [], executable = [];
    private int ops;

    /// <summary>Pages the kernel shares with this process, as its mappings show them.</summary>
    public SharedKernelPages KernelPages { get; private set; } = SharedKernelPages.None;

    /// <summary>Takes over the process's mappings. When one that held code is gone, so are all blocks.</summary>
    public void SetMappings(IReadOnlyList<ProcessMap> maps)
    {
        ProcessMap[] now = [.. maps.Where(map => map.IsExecutable && !map.IsWritable && (map.Inode != 0 || map.Path == "[vdso]"))];
        if (!stable.All(now.Contains))
            Clear();
        stable = now;
        executable = [.. maps.Where(map => map.IsExecutable)];
        KernelPages = new SharedKernelPages(maps, processId);
    }

    /// <summary>Whether an address is in none of the executable mappings that were taken over.</summary>
    public bool IsUnknown(ulong address) => !Array.Exists(executable, map => address >= map.Start.Value && address < map.End.Value);

    /// <summary>The block at the CPU's instruction pointer, decoded at need.</summary>
    /// <exception cref="UnreadableMemoryException">There is no code in a file's mapping: code made at run time may change at any time.</exception>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public Block Find(Cpu cpu)
    {
        ulong address = cpu.InstructionPointer;
        ref Block? slot = ref direct[(int)((address ^ (address >> 12)) & (DirectSlots - 1))];
        if (slot is { } hit && hit.Address == address)
            return hit;
        if (blocks.TryGetValue(address, out Block? block))
        {
            return slot = block;
        }
        block = Decode(address, ExploredDepth);
        blocks.Add(address, block);
        if (translateAtOnce)
            Translate(block);
        return slot = block;
    }

    /// <summary>What it takes, about: an op and its share of a block are some 100 bytes.</summary>
    public long Bytes => (ops * 100L) + (codePages.Count * (long)MemorySnapshot.PageSize);

    /// <summary>Has a block translated as soon as nobody waits for it.</summary>
    public void IsHot(Block block) => untranslated.Enqueue(block);

    /// <summary>Whether there is code to get to know: decoded code that is often executed, or such as may be executed next and is not decoded yet.</summary>
    public bool HasUnexplored => untranslated.Count > 0 || unexplored.Count > 0;

    /// <summary>
    /// Translates a block or decodes one ahead of its execution, between stops: what a thread meets while it stands still should be known.
    /// </summary>
    public void Explore()
    {
        if (untranslated.TryDequeue(out Block? hot))
        {
            if (blocks.TryGetValue(hot.Address, out Block? known) && known == hot)
                Translate(hot);
            return;
        }
        if (!unexplored.TryDequeue(out (ulong Address, int Depth) next) || blocks.ContainsKey(next.Address) || ops > MaxExploredOps)
            return;
        try
        {
            blocks.Add(next.Address, Decode(next.Address, next.Depth));
        }
        catch (UnreadableMemoryException)
        {
            // A jump that is never taken, or the file was truncated.
        }
    }

    public void Dispose()
    {
        Clear();
        translator?.Dispose();
    }

    /// <param name="depth">How many blocks further to explore from here.</param>
    private Block Decode(ulong address, int depth)
    {
        if (!IsStable(address, address))
            throw new UnreadableMemoryException(address, isCode: true);
        if (ops > MaxOps)
            Clear();
        int length = ReadCode(address);
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code, 0, length), address);
        int count = 0, instructions = 0;
        bool closed = false;
        fixed (Op* lowered = scratch)
        {
            Instruction last = default;
            while (!closed && instructions < longestBlock)
            {
                decoder.Decode(out Instruction instruction);
                if (instruction.IsInvalid && length - (int)(instruction.IP - address) < LongestInstruction)
                {
                    // The bytes ran out, not the encoding.
                    if (count == 0)
                        throw new UnreadableMemoryException(address);
                    break;
                }
                closed = lowering.Lower(instruction, lowered + count);
                last = instruction;
                count++;
                instructions++;
            }
            if (!closed)
            {
                lowered[count] = new Op { Execute = &BranchOps.FallThrough, LeavesFlags = true, Next = lowered[count - 1].Next, InstructionPointer = lowered[count - 1].Next };
                count++;
            }
            Op* kept = (Op*)NativeMemory.Alloc((nuint)count, (nuint)sizeof(Op));
            new ReadOnlySpan<Op>(lowered, count).CopyTo(new Span<Op>(kept, count));
            ops += count;
            if (depth > 0)
                QueueSuccessors(last, depth - 1);
            return new Block
            {
                Address = address,
                Ops = kept,
                OpCount = count,
                InstructionCount = instructions,
                LastInstruction = kept[count - 1].InstructionPointer,
                Target = kept[count - 1].Immediate,
                FallThrough = kept[count - 1].Next,
            };
        }
    }

    /// <summary>Reads as much code as a block may have.</summary>
    /// <returns>How many bytes there are.</returns>
    private int ReadCode(ulong address)
    {
        int length = 0;
        while (length < code.Length && CodePage(address + (ulong)length) is { } page)
        {
            int offset = (int)(address + (ulong)length) & (MemorySnapshot.PageSize - 1), run = Math.Min(page.Length - offset, code.Length - length);
            page.AsSpan(offset, run).CopyTo(code.AsSpan(length));
            length += run;
        }
        return length == code.Length ? length : TargetMemory.Read(processId, address, code);
    }

    /// <summary>A page of code that does not change; null for any other.</summary>
    private byte[]? CodePage(ulong address)
    {
        ulong number = address >> MemorySnapshot.PageShift;
        if (codePages.TryGetValue(number, out byte[]? page))
            return page;
        if (!IsStable(address, address))
            return null;
        page = new byte[MemorySnapshot.PageSize];
        if (TargetMemory.Read(processId, number << MemorySnapshot.PageShift, page) != page.Length)
            return null;
        if (codePages.Count == MaxCodePages)
            codePages.Clear();
        codePages.Add(number, page);
        return page;
    }

    private void Translate(Block block)
    {
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code, 0, ReadCode(block.Address)), block.Address);
        for (int i = 0; i < block.InstructionCount; i++)
        {
            decoder.Decode(out instructions[i]);
            if (instructions[i].IP != block.Ops[i].InstructionPointer || instructions[i].NextIP != block.Ops[i].Next)
                return;
        }
        block.SetNative((translator ??= new BlockTranslator()).Translate(instructions.AsSpan(0, block.InstructionCount)));
    }

    /// <summary>Queues where a block's last instruction leads, as far as its code says.</summary>
    private void QueueSuccessors(in Instruction last, int depth)
    {
        if (last.Op0Kind == OpKind.NearBranch64)
            unexplored.Enqueue((last.NearBranch64, depth));
        if (last.FlowControl is not (FlowControl.UnconditionalBranch or FlowControl.IndirectBranch or FlowControl.Return or FlowControl.Exception))
            unexplored.Enqueue((last.NextIP, depth));
    }

    private bool IsStable(ulong first, ulong last)
    {
        foreach (ProcessMap map in stable)
            if (first >= map.Start.Value && last < map.End.Value)
                return true;
        return false;
    }

    /// <summary>Others may still lead to it.</summary>
    private static void Forget(Block block)
    {
        block.Address = NoAddress;
        NativeMemory.Free(block.Ops);
    }

    /// <summary>Forgets all code; it is decoded again when it is met.</summary>
    public void Clear()
    {
        foreach (Block block in blocks.Values)
            Forget(block);
        blocks.Clear();
        codePages.Clear();
        unexplored.Clear();
        untranslated.Clear();
        translator?.Clear();
        Array.Clear(direct);
        ops = 0;
    }
}
