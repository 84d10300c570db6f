using System.Globalization;
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
/// Steps a real thread and the interpreter side by side: before each instruction the interpreter gets the thread's state, and after
/// it registers, flags and all memory the interpreter looked at must be equal.
/// </summary>
internal sealed unsafe class SideBySide : IDisposable
{
    private const long PTRACE_SINGLESTEP = 9;

    private readonly TracedThread thread;
    private readonly Cpu cpu = new(), real = new();
    private readonly Lowering lowering = new();
    private readonly BlockCache code;
    private readonly byte[] extended = new byte[ExtendedState.BufferSize];
    private readonly byte[] page = new byte[MemorySnapshot.PageSize];
    private readonly byte[] bytes = new byte[15];
    private readonly BranchEntry[] branches = new BranchEntry[4];

    /// <summary>Stops the only thread of a process started by this one.</summary>
    public SideBySide(int processId)
    {
        thread = TracedThread.Seize(processId, processId, isOurChild: true, out int error)
            ?? throw new InvalidOperationException($"ptrace: {Marshal.GetPInvokeErrorMessage(error)}");
        code = new BlockCache(processId, lowering, longestBlock: 1);
        Assert.True(thread.Interrupt());
        Assert.Equal(WaitResult.Stopped, thread.Wait(TimeSpan.FromSeconds(5)));
    }

    public List<string> Differences { get; } = [];

    public SortedDictionary<string, int> Interpreted { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, int> NotInterpreted { get; } = new(StringComparer.Ordinal);

    public int Compared { get; private set; }

    /// <summary>Compares so many instructions, or fewer if the thread ends.</summary>
    public void Run(int instructions)
    {
        int processId = thread.ProcessId;
        for (int i = 0; i < instructions && Differences.Count < 20; i++)
        {
            if (i % 10_000 == 0)
                code.SetMappings(ProcessMap.Load(processId));
            if (!thread.ReadRegisters(out Syscalls.UserRegisters before))
                return;
            int length = TargetMemory.Read(processId, before.Rip, bytes);
            Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(bytes, 0, length), before.Rip);
            Instruction instruction = decoder.Decode();
            StopReason stop = Interpret(before);
            if (!Step(instruction, before.Rip, out Syscalls.UserRegisters after))
                return;
            // Where the stop broke off a system call, the kernel restarts it before the instruction: there is nothing to compare.
            if (BurstRunner.WasWaiting(before))
                continue;
            string name = instruction.Mnemonic.ToString();
            if (stop is StopReason.NotInterpreted or StopReason.UnreadableMemory)
                NotInterpreted[name] = NotInterpreted.GetValueOrDefault(name) + 1;
            else if (stop != StopReason.SystemCall && !IsUnrepeatable(instruction.Mnemonic) && !ReadClock())
                Compare(instruction, after, name);
        }
    }

    /// <summary>Lets the thread run on.</summary>
    public void Dispose()
    {
        // A step ends in a SIGTRAP that must not be delivered.
        _ = Syscalls.ptrace(Syscalls.PTRACE_DETACH, thread.ThreadId, 0, 0);
        code.Dispose();
        lowering.Dispose();
        cpu.Dispose();
        real.Dispose();
    }

    private static bool IsUnrepeatable(Mnemonic mnemonic) => mnemonic is Mnemonic.Rdtsc or Mnemonic.Rdtscp or Mnemonic.Rdrand or Mnemonic.Rdseed or Mnemonic.Cpuid or Mnemonic.Rdpid;

    /// <summary>Whether the instruction read a page of the kernel's clock, which cannot be read from outside and changes at any time.</summary>
    private bool ReadClock() => cpu.Memory.Pages.Any(address => TargetMemory.Read(thread.ProcessId, address, page) == 0);

    private StopReason Interpret(in Syscalls.UserRegisters before)
    {
        cpu.Load(before);
        ExtendedState.Load(cpu.State, extended.AsSpan(0, thread.ReadRegisterSet(Syscalls.NT_X86_XSTATE, extended)));
        cpu.Memory.Begin(thread.ProcessId, code.KernelPages);
        code.Begin();
        cpu.Begin(branches, new ulong[branches.Length], 0);
        return cpu.Run(code, 1, long.MaxValue);
    }

    private bool Step(in Instruction instruction, ulong start, out Syscalls.UserRegisters after)
    {
        bool repeated = instruction.IsStringInstruction && (instruction.HasRepePrefix || instruction.HasRepnePrefix);
        do
        {
            after = default;
            if (Syscalls.ptrace(PTRACE_SINGLESTEP, thread.ThreadId, 0, 0) != 0 || thread.Wait(TimeSpan.FromSeconds(5)) != WaitResult.Stopped || !thread.ReadRegisters(out after))
                return false;
        }
        while (repeated && after.Rip == start);
        return true;
    }

    private void Compare(in Instruction instruction, in Syscalls.UserRegisters after, string name)
    {
        Compared++;
        Interpreted[name] = Interpreted.GetValueOrDefault(name) + 1;
        real.Load(after);
        ExtendedState.Load(real.State, extended.AsSpan(0, thread.ReadRegisterSet(Syscalls.NT_X86_XSTATE, extended)));
        string text = string.Create(CultureInfo.InvariantCulture, $"{instruction} [{Convert.ToHexString(bytes.AsSpan(0, instruction.Length))}]");
        if (cpu.InstructionPointer != after.Rip)
            Differences.Add($"{text}: goes to 0x{cpu.InstructionPointer:x}, really 0x{after.Rip:x}");
        for (int i = 0; i < 16; i++)
            if (cpu.Register(i * 8) != real.Register(i * 8))
                Differences.Add($"{text}: {Register.RAX + i} 0x{cpu.Register(i * 8):x}, really 0x{real.Register(i * 8):x}");
        ulong flags = Flags.Status | Flags.DF;
        flags &= ~ToFlags(instruction.RflagsUndefined);
        // Iced lists OF as undefined only where it always is; for shifts by more than 1 it is as well.
        if (instruction.Mnemonic is Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar)
            flags &= ~(Flags.OF | Flags.AF);
        if ((cpu.Flags.Value & flags) != (real.Flags.Value & flags))
            Differences.Add($"{text}: flags 0x{cpu.Flags.Value & flags:x}, really 0x{real.Flags.Value & flags:x}");
        CompareState(text, "opmask", CpuState.Opmasks, 8, 8);
        CompareState(text, "vector", CpuState.Vectors, 64, 32);
        // FCW, FSW and FTW, then the registers; the last instruction and data pointers are not kept.
        CompareState(text, "x87 status", CpuState.X87, 5, 1);
        CompareState(text, "x87", CpuState.X87 + 32, 16, 8);
        CompareState(text, "MXCSR", CpuState.Mxcsr, 4, 1);
        foreach (ulong address in cpu.Memory.Pages)
        {
            if (TargetMemory.Read(thread.ProcessId, address, page) != page.Length)
                continue;
            cpu.Memory.Run(address, out byte* data);
            int at = new ReadOnlySpan<byte>(data, page.Length).CommonPrefixLength(page);
            if (at < page.Length)
                Differences.Add($"{text}: memory at 0x{address + (ulong)at:x} 0x{data[at]:x2}, really 0x{page[at]:x2}");
        }
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
        ((bits & RflagsBits.CF) != 0 ? Flags.CF : 0) | ((bits & RflagsBits.PF) != 0 ? Flags.PF : 0) | ((bits & RflagsBits.AF) != 0 ? Flags.AF : 0)
        | ((bits & RflagsBits.ZF) != 0 ? Flags.ZF : 0) | ((bits & RflagsBits.SF) != 0 ? Flags.SF : 0) | ((bits & RflagsBits.OF) != 0 ? Flags.OF : 0);
}
