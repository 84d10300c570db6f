using System.Runtime.CompilerServices;
using Iced.Intel;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Interpreter;

/// <summary>Decoded and lowered blocks of one process, by runtime address.</summary>
/// <param name="translator">Shared by all processes.</param>
/// <param name="longestBlock">Instructions in a block at most; 1 makes every instruction its own block, for comparing with a real
/// CPU.</param>
internal sealed unsafe class BlockCache(int processId, Translator translator, int longestBlock = 64) : IDisposable
{
    private const int LongestInstruction = 15;
    private const int DirectSlots = 4096;

    /// <summary>Instructions kept before the cache starts anew, some 25 MB.</summary>
    private const int MaxInstructions = 200_000;

    /// <summary>
    /// Code is decoded ahead of its execution up to so many blocks from code that was executed, and up to so many instructions in all.
    /// </summary>
    private const int ExploredDepth = 16, MaxExplored = MaxInstructions / 2;

    /// <summary>About what a block takes besides its native code.</summary>
    private const int BlockBytes = 256;

    private const int MaxCodePages = 1024;

    /// <summary>Not canonical, so no instruction can be there.</summary>
    private const ulong NoAddress = 1UL << 63;

    private readonly Block?[] direct = new Block?[DirectSlots];
    private readonly Dictionary<ulong, Block> blocks = [], alone = [];
    /// <summary>By page number: to read code block by block would cost a system call for each.</summary>
    private readonly Dictionary<ulong, byte[]> codePages = [];
    private readonly byte[] code = new byte[LongestInstruction * 64];
    private readonly Queue<(ulong Address, int Depth)> unexplored = [];
    private readonly List<int> chunks = [];
    private int usedOfChunk;
    private ProcessMap[] stable = [], executable = [];
    private int instructions;

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

    /// <summary>The block at an address, decoded at need.</summary>
    /// <exception cref="UnreadableMemoryException">There is no code in a file's mapping: code made at run time may change at any
    /// time.</exception>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public Block Find(ulong address)
    {
        ref Block? slot = ref direct[(int)((address ^ (address >> 12)) & (DirectSlots - 1))];
        if (slot is { } hit && hit.Address == address)
            return hit;
        if (!blocks.TryGetValue(address, out Block? block))
            blocks.Add(address, block = Decode(address, ExploredDepth));
        return slot = block;
    }

    /// <summary>
    /// A block of one instruction of another's native code, which takes its memory operand from where <see cref="CpuState.Resume"/> says.
    /// </summary>
    public Block Alone(Block block, int index)
    {
        ulong address = block.Address;
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code, 0, ReadCode(address)), address);
        for (int i = 0; i < index; i++)
            address = decoder.Decode().NextIP;
        if (!alone.TryGetValue(address, out Block? found))
        {
            translator.Begin();
            Instruction instruction = decoder.Decode();
            _ = NativeInstruction.TryMake(instruction, out NativeInstruction native) && translator.TryAdd(native);
            found = Keep(address, 1, GoOn(instruction), &BranchOps.FallThrough, alone: true);
            alone.Add(address, found);
        }
        return found;
    }

    /// <summary>What it takes, about.</summary>
    public long Bytes =>
        (chunks.Count * (long)ExecutableMemory.ChunkSize) + ((blocks.Count + alone.Count) * (long)BlockBytes)
            + (codePages.Count * (long)MemorySnapshot.PageSize);

    /// <summary>Whether there is code to get to know: such as may be executed next and is not decoded yet.</summary>
    public bool HasUnexplored => unexplored.Count > 0;

    /// <summary>Decodes a block ahead of its execution, between stops: what a thread meets while it stands still should be known.</summary>
    public void Explore()
    {
        if (!unexplored.TryDequeue(out (ulong Address, int Depth) next) || blocks.ContainsKey(next.Address) || instructions > MaxExplored)
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

    public void Dispose() => Clear();

    /// <param name="depth">How many blocks further to explore from here.</param>
    private Block Decode(ulong address, int depth)
    {
        if (!IsStable(address))
            throw new UnreadableMemoryException(address, isCode: true);
        if (instructions > MaxInstructions)
            Clear();
        int length = ReadCode(address), count = 0;
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code, 0, length), address);
        translator.Begin();
        Instruction instruction = default;
        delegate*<Cpu, in Instruction, void> execute = null;
        while (execute is null && count < longestBlock)
        {
            decoder.Decode(out Instruction next);
            // The bytes ran out, not the encoding.
            if (next.IsInvalid && length - (int)(next.IP - address) < LongestInstruction)
                break;
            if (!NativeInstruction.TryMake(next, out NativeInstruction native))
                execute = Handlers.Of(next);
            else if (!translator.TryAdd(native))
                break;
            instruction = next;
            count++;
        }
        if (count == 0)
            throw new UnreadableMemoryException(address);
        Block block = execute is null
            ? Keep(address, count, GoOn(instruction), &BranchOps.FallThrough) : Keep(address, count, instruction, execute);
        if (depth > 0)
            QueueSuccessors(instruction, depth - 1);
        return block;
    }

    /// <summary>Makes a block of what was added to the translator and what closes it.</summary>
    private Block Keep(
        ulong address, int count, in Instruction close, delegate*<Cpu, in Instruction, void> execute, bool alone = false)
    {
        nint native = 0;
        ConditionCode? condition = Handlers.FlagsOf(close);
        if (translator.Count > 0 || condition is not null)
        {
            ReadOnlySpan<byte> assembled = translator.Translate(condition, alone);
            if (translator.LeftOut is { } instruction)
                return Keep(address, translator.Count + 1, instruction, &BranchOps.NotInterpreted, alone);
            native = Write(assembled);
        }
        instructions += count;
        return new Block(close)
        {
            Address = address,
            Code = (delegate* unmanaged[SuppressGCTransition]<byte*, uint>)native,
            Decides = condition is not null,
            Execute = execute,
            InstructionCount = count,
        };
    }

    /// <summary>Nothing, behind an instruction.</summary>
    private static Instruction GoOn(in Instruction behind) => new() { NextIP = behind.NextIP };

    private nint Write(ReadOnlySpan<byte> assembled)
    {
        if (chunks.Count == 0 || usedOfChunk + assembled.Length > ExecutableMemory.ChunkSize)
        {
            int chunk = translator.Memory.Take();
            if (chunk < 0)
            {
                Clear();
                chunk = translator.Memory.Take();
                if (chunk < 0)
                    throw new UnreadableMemoryException(0, isCode: true);
            }
            chunks.Add(chunk);
            usedOfChunk = 0;
        }
        int place = chunks[^1] + usedOfChunk;
        usedOfChunk += (assembled.Length + 15) & ~15;
        return translator.Memory.Write(place, assembled);
    }

    /// <summary>Reads as much code as a block may have.</summary>
    /// <returns>How many bytes there are.</returns>
    private int ReadCode(ulong address)
    {
        int length = 0;
        while (length < code.Length && CodePage(address + (ulong)length) is { } page)
        {
            int offset = (int)(address + (ulong)length) & (MemorySnapshot.PageSize - 1), run = Math.Min(
                page.Length - offset, code.Length - length);
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
        if (!IsStable(address))
            return null;
        page = new byte[MemorySnapshot.PageSize];
        if (TargetMemory.Read(processId, number << MemorySnapshot.PageShift, page) != page.Length)
            return null;
        if (codePages.Count == MaxCodePages)
            codePages.Clear();
        codePages.Add(number, page);
        return page;
    }

    /// <summary>Queues where a block's last instruction leads, as far as its code says.</summary>
    private void QueueSuccessors(in Instruction last, int depth)
    {
        if (last.Op0Kind == OpKind.NearBranch64)
            unexplored.Enqueue((last.NearBranch64, depth));
        if (last.FlowControl is not (FlowControl.UnconditionalBranch or FlowControl.IndirectBranch or FlowControl.Return
            or FlowControl.Exception))
            unexplored.Enqueue((last.NextIP, depth));
    }

    private bool IsStable(ulong address)
    {
        foreach (ProcessMap map in stable)
            if (address >= map.Start.Value && address < map.End.Value)
                return true;
        return false;
    }

    /// <summary>Forgets all code; it is decoded again when it is met.</summary>
    public void Clear()
    {
        // Other blocks may still lead to one.
        foreach (Block block in blocks.Values)
            block.Address = NoAddress;
        blocks.Clear();
        alone.Clear();
        codePages.Clear();
        unexplored.Clear();
        foreach (int chunk in chunks)
            translator.Memory.GiveBack(chunk);
        chunks.Clear();
        Array.Clear(direct);
        instructions = 0;
    }
}
