using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Iced.Intel;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;

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
    private ProcessMap[] stable = [];
    private long burst;
    private int ops;

    /// <summary>Pages the kernel shares with this process, as its mappings show them.</summary>
    public SharedKernelPages KernelPages { get; private set; } = SharedKernelPages.None;

    /// <summary>A thread is stopped anew: code that may have changed must be looked at again.</summary>
    public void Begin() => burst++;

    /// <summary>Takes over the process's mappings. When one that held code is gone, so are all blocks.</summary>
    public void SetMappings(IReadOnlyList<ProcessMap> maps)
    {
        ProcessMap[] now = [.. maps.Where(map => map.IsExecutable && !map.IsWritable && (map.Inode != 0 || map.Path == "[vdso]"))];
        if (!stable.All(now.Contains))
            Clear();
        stable = now;
        KernelPages = new SharedKernelPages(maps);
    }

    /// <summary>The block at the CPU's instruction pointer, decoded at need.</summary>
    /// <exception cref="UnreadableMemoryException">There is no code.</exception>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public Block Find(Cpu cpu)
    {
        ulong address = cpu.InstructionPointer;
        ref Block? slot = ref direct[(int)((address ^ (address >> 12)) & (DirectSlots - 1))];
        if (slot is { } hit && hit.Address == address && (hit.VolatileCode.Length == 0 || hit.Checked == burst))
            return hit;
        if (blocks.TryGetValue(address, out Block? block))
        {
            if (IsCurrent(block))
                return slot = block;
            Remove(block);
        }
        block = Decode(address, ExploredDepth);
        blocks.Add(address, block);
        if (translateAtOnce)
            Translate(block);
        return slot = block;
    }

    /// <summary>Has a block translated as soon as nobody waits for it.</summary>
    public void IsHot(Block block) => untranslated.Enqueue(block);

    /// <summary>Whether there is code to get to know: decoded code that is often executed, or such as may be executed next and is not decoded yet.</summary>
    public bool HasUnexplored => untranslated.Count > 0 || unexplored.Count > 0;

    /// <summary>
    /// Translates a block or decodes one ahead of its execution, between stops: what a thread meets while it stands still should be known. Only code in files is,
    /// as other code may change meanwhile.
    /// </summary>
    public void Explore()
    {
        if (untranslated.TryDequeue(out Block? hot))
        {
            if (blocks.TryGetValue(hot.Address, out Block? known) && known == hot)
                Translate(hot);
            return;
        }
        if (!unexplored.TryDequeue(out (ulong Address, int Depth) next) || blocks.ContainsKey(next.Address) || ops > MaxExploredOps || !IsStable(next.Address, next.Address))
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

    private bool IsCurrent(Block block)
    {
        if (block.VolatileCode.Length == 0 || block.Checked == burst)
            return true;
        Span<byte> now = code.AsSpan(0, block.VolatileCode.Length);
        if (TargetMemory.Read(processId, block.Address, now) != now.Length || !now.SequenceEqual(block.VolatileCode))
            return false;
        block.Checked = burst;
        return true;
    }

    /// <param name="depth">How many blocks further to explore from here.</param>
    private Block Decode(ulong address, int depth)
    {
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
            bool isStable = IsStable(address, kept[count - 1].InstructionPointer);
            if (isStable && depth > 0)
                QueueSuccessors(last, depth - 1);
            int bytes = (int)(lowered[count - 1].InstructionPointer - address) + (closed ? (int)(lowered[count - 1].Next - lowered[count - 1].InstructionPointer) : 0);
            return new Block
            {
                Address = address,
                Ops = kept,
                OpCount = count,
                InstructionCount = instructions,
                LastInstruction = kept[count - 1].InstructionPointer,
                Target = kept[count - 1].Immediate,
                FallThrough = kept[count - 1].Next,
                VolatileCode = isStable ? [] : code.AsSpan(0, bytes).ToArray(),
                Checked = burst,
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
        Span<byte> bytes = block.VolatileCode;
        if (block.VolatileCode.Length == 0)
            bytes = code.AsSpan(0, ReadCode(block.Address));
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(bytes.ToArray()), block.Address);
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

    private void Remove(Block block)
    {
        blocks.Remove(block.Address);
        ops -= block.OpCount;
        Forget(block);
    }

    /// <summary>Others may still lead to it.</summary>
    private static void Forget(Block block)
    {
        block.Address = NoAddress;
        NativeMemory.Free(block.Ops);
    }

    private void Clear()
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
