using System.Runtime.InteropServices;
using Iced.Intel;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;
using Perforator.Recording.Software;
using Decoder = Iced.Intel.Decoder;

namespace Perforator.Tests.Recording.Interpreter;

/// <summary>
/// Steps a real thread and the interpreter side by side: before each instruction, block or path of them the interpreter gets the thread's
/// state, and after it registers, flags and all memory the interpreter looked at must be equal.
/// </summary>
internal sealed unsafe class SideBySide : IDisposable
{
    private const long PTRACE_SINGLESTEP = 9;

    private readonly TracedThread thread;
    private readonly int processId;
    private readonly Cpu cpu = new(), real = new();
    private readonly Translator translator = new();
    private readonly BlockCache code;
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];
    private readonly byte[] page = new byte[MemorySnapshot.PageSize], data = new byte[MemorySnapshot.PageSize];
    private readonly byte[] bytes = new byte[15];
    private readonly BranchEntry[] branches = new BranchEntry[64];
    private readonly List<Instruction> stepped = [];
    private readonly List<ulong> touched = [];
    private readonly int longestBlock, path;

    /// <summary>Stops the only thread of a process started by this one, which must be running.</summary>
    /// <param name="longestBlock">Instructions in a block at most.</param>
    /// <param name="path">Instructions to interpret before the states are compared, if blocks are not longer.</param>
    public SideBySide(int processId, int longestBlock, int path = 1)
    {
        thread = TracedThread.Seize(processId, processId, isOurChild: true, Syscalls.SIGURG, out int error)
            ?? throw new InvalidOperationException($"ptrace: {Marshal.GetPInvokeErrorMessage(error)}");
        (this.longestBlock, this.path, this.processId) = (longestBlock, path, processId);
        code = new BlockCache(processId, translator, longestBlock);
        Assert.Equal(WaitResult.Stopped, thread.Meet(TimeSpan.FromSeconds(5), needsThisCpu: false));
    }

    public List<string> Differences { get; } = [];

    public SortedDictionary<string, int> Interpreted { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, int> NotInterpreted { get; } = new(StringComparer.Ordinal);

    public int Compared { get; private set; }

    /// <summary>Compares so many instructions or a few more, or fewer if the thread ends.</summary>
    public void Run(int instructions)
    {
        int passed = 0;
        for (int i = 0; passed < instructions && Differences.Count < 20; i++)
        {
            if (i % 10_000 == 0)
                code.SetMappings(ProcessMap.Load(processId));
            if (!thread.ReadRegisters(out Syscalls.UserRegisters before))
                return;
            StopReason stop = Interpret(before);
            if (longestBlock > 1 && stop is StopReason.Done or StopReason.SystemCall)
            {
                // Once more, with all pages at hand: now native code goes to the block's end in one go.
                touched.Clear();
                touched.AddRange(cpu.Memory.PageNumbers);
                stop = Interpret(before, touched);
            }
            long interpreted = stop is StopReason.Done or StopReason.UnreadableMemory ? cpu.InstructionCount : cpu.InstructionCount - 1;
            if (!Step(before, Math.Max(interpreted, 1), out Syscalls.UserRegisters after))
                return;
            passed += stepped.Count;
            if (stop is StopReason.NotInterpreted or StopReason.UnreadableMemory && interpreted == 0)
                NotInterpreted[stepped[0].Mnemonic.ToString()] = NotInterpreted.GetValueOrDefault(stepped[0].Mnemonic.ToString()) + 1;
            else if (interpreted > 0 && !stepped.Exists(s => IsUnrepeatable(s.Mnemonic)) && !ReadClock())
                Compare(after);
        }
    }

    /// <summary>Lets the thread run on.</summary>
    public void Dispose()
    {
        // A step ends in a SIGTRAP that must not be delivered.
        _ = Syscalls.ptrace(Syscalls.PTRACE_DETACH, thread.ThreadId, 0, 0);
        code.Dispose();
        translator.Dispose();
        cpu.Dispose();
        real.Dispose();
    }

    private bool IsUnrepeatable(Mnemonic mnemonic) =>
        mnemonic is Mnemonic.Rdtsc or Mnemonic.Rdtscp or Mnemonic.Rdrand or Mnemonic.Rdseed or Mnemonic.Cpuid or Mnemonic.Rdpid
        // Whole blocks may use what FNSTENV wrote.
        || (longestBlock > 1 && mnemonic is Mnemonic.Fnstenv);

    /// <summary>
    /// Whether the instruction read a page of the kernel's clock, which cannot be read from outside and changes at any time.
    /// </summary>
    private bool ReadClock() =>
        cpu.Memory.PageNumbers.Any(number => TargetMemory.Read(processId, number << MemorySnapshot.PageShift, page) == 0);

    private StopReason Interpret(in Syscalls.UserRegisters before, List<ulong>? pages = null)
    {
        cpu.Load(before);
        ExtendedState.Load(cpu.State, extended.AsSpan(0, thread.ReadRegisterSet(Syscalls.NT_X86_XSTATE, extended)));
        cpu.Memory.Begin(processId, code.KernelPages);
        foreach (ulong page in pages ?? [])
            cpu.Memory.Read(page << MemorySnapshot.PageShift, this.page);
        cpu.Begin(branches, 0);
        return cpu.Run(code, branches.Length, path, long.MaxValue);
    }

    /// <summary>Lets the real CPU execute so many instructions, and notes which.</summary>
    private bool Step(in Syscalls.UserRegisters before, long instructions, out Syscalls.UserRegisters after)
    {
        stepped.Clear();
        after = before;
        while (stepped.Count < instructions)
        {
            ulong start = after.Rip;
            int length = TargetMemory.Read(processId, start, bytes);
            Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(bytes, 0, length), start);
            Instruction instruction = decoder.Decode();
            stepped.Add(instruction);
            bool repeated = instruction.IsStringInstruction && (instruction.HasRepePrefix || instruction.HasRepnePrefix);
            do
            {
                if (Syscalls.ptrace(PTRACE_SINGLESTEP, thread.ThreadId, 0, 0) != 0
                    || thread.Wait(TimeSpan.FromSeconds(5), needsThisCpu: false) != WaitResult.Stopped || !thread.ReadRegisters(out after))
                    return false;
            }
            while (repeated && after.Rip == start);
        }
        return true;
    }

    /// <summary>Compares the interpreted state with the thread's after the same instructions.</summary>
    private void Compare(in Syscalls.UserRegisters after)
    {
        Compared += stepped.Count;
        ulong flags = Flags.Status | Flags.DF;
        foreach (Instruction instruction in stepped)
        {
            string name = instruction.Mnemonic.ToString();
            Interpreted[name] = Interpreted.GetValueOrDefault(name) + 1;
            flags &= ~ToFlags(instruction.RflagsUndefined);
            // Iced lists OF as undefined only where it always is; for shifts by more than 1 it is as well.
            if (instruction.Mnemonic is Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar)
                flags &= ~(Flags.OF | Flags.AF);
        }
        real.Load(after);
        ExtendedState.Load(real.State, extended.AsSpan(0, thread.ReadRegisterSet(Syscalls.NT_X86_XSTATE, extended)));
        string text = string.Join("; ", stepped);
        if (cpu.InstructionPointer != after.Rip)
            Differences.Add($"{text}: goes to 0x{cpu.InstructionPointer:x}, really 0x{after.Rip:x}");
        for (int i = 0; i < 16; i++)
            if (cpu.Register(i * 8) != real.Register(i * 8))
                Differences.Add($"{text}: {Register.RAX + i} 0x{cpu.Register(i * 8):x}, really 0x{real.Register(i * 8):x}");
        if ((cpu.Flags & flags) != (real.Flags & flags))
            Differences.Add($"{text}: flags 0x{cpu.Flags & flags:x}, really 0x{real.Flags & flags:x}");
        CompareState(text, "opmask", CpuState.Opmasks, 8, 8);
        CompareState(text, "vector", CpuState.Vectors, 64, 32);
        // FCW, FSW and FTW, then the registers; the last instruction and data pointers are not kept.
        CompareState(text, "x87 status", CpuState.X87, 5, 1);
        CompareState(text, "x87", CpuState.X87 + 32, 16, 8);
        CompareState(text, "MXCSR", CpuState.Mxcsr, 4, 1);
        ulong[] unkeptBytes = [.. stepped.Where(s => s.Mnemonic == Mnemonic.Fnstenv).SelectMany(UnkeptBytes)];
        foreach (ulong address in cpu.Memory.PageNumbers.Select(number => number << MemorySnapshot.PageShift).ToArray())
        {
            if (TargetMemory.Read(processId, address, page) != page.Length)
                continue;
            cpu.Memory.Read(address, data);
            foreach (ulong unkept in unkeptBytes)
                if (unkept - address < (ulong)page.Length)
                    page[unkept - address] = data[unkept - address];
            int at = data.AsSpan().CommonPrefixLength(page);
            if (at < page.Length)
                Differences.Add($"{text}: memory at 0x{address + (ulong)at:x} 0x{data[at]:x2}, really 0x{page[at]:x2}");
        }
    }

    /// <summary>
    /// Where FNSTENV writes the last x87 instruction's pointers (AMD64 manual vol. 5, FNSTENV; 28 bytes with 32-bit operands). XSAVE of
    /// an AMD CPU does not keep them, so that the real ones depend on whether the kernel gave the CPU to another thread since.
    /// </summary>
    private IEnumerable<ulong> UnkeptBytes(Instruction store)
    {
        const int First = 12, Size = 28;
        // Asked for the segment's base as well, which is 0 for all that a stack or data address uses.
        ulong address =
            store.GetVirtualAddress(
                0, 0, (register, _, _) =>
                    register is >= Register.RAX and <= Register.R15 ? real.Register((register - Register.RAX) * 8) : 0);
        return Enumerable.Range(First, Size - First).Select(i => address + (ulong)i);
    }

    private void CompareState(string text, string what, int offset, int size, int count)
    {
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> ours = new(cpu.State + offset + (i * size), size), theirs = new(real.State + offset + (i * size), size);
            if (!ours.SequenceEqual(theirs))
                Differences.Add($"{text}: {what} {i} {Convert.ToHexString(ours)}, really {Convert.ToHexString(theirs)}");
        }
    }

    private static ulong ToFlags(RflagsBits bits) =>
        ((bits & RflagsBits.CF) != 0 ? Flags.CF : 0) | ((bits & RflagsBits.PF) != 0 ? Flags.PF : 0)
            | ((bits & RflagsBits.AF) != 0 ? Flags.AF : 0)
        | ((bits & RflagsBits.ZF) != 0 ? Flags.ZF : 0) | ((bits & RflagsBits.SF) != 0 ? Flags.SF : 0)
        | ((bits & RflagsBits.OF) != 0 ? Flags.OF : 0);
}
