using Iced.Intel;
using Perforator.Branches;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>Follows a stopped thread by letting the CPU execute one instruction at a time (PTRACE_SINGLESTEP).</summary>
internal sealed class SteppingFollower
{
    private const int LongestInstruction = 15;

    private readonly byte[] code = new byte[LongestInstruction];

    /// <summary>Follows the thread, stopped where <paramref name="registers"/> says, until the span is full or its path breaks off.</summary>
    /// <returns>How many taken branches were seen, oldest first.</returns>
    public int Follow(TracedThread thread, in UserRegisters registers, Span<BranchEntry> branches, out WaitResult last)
    {
        last = WaitResult.Stopped;
        int count = 0;
        ulong instructionPointer = registers.Rip;
        while (count < branches.Length)
        {
            int length = TargetMemory.Read(thread.ProcessId, instructionPointer, code);
            Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code, 0, length), instructionPointer);
            Instruction instruction = decoder.Decode();
            if (instruction.IsInvalid || !thread.Step())
                break;
            last = thread.Wait(TimeSpan.FromSeconds(1));
            // A signal comes before the next instruction: its handler is another path.
            if (last != WaitResult.Stopped || thread.StopSignal != SIGTRAP || thread.StopEvent != 0 || !thread.ReadRegisters(out UserRegisters after))
                break;
            if (IsBranch(instruction.FlowControl) && after.Rip != instruction.NextIP)
                branches[count++] = new(new(instructionPointer), new(after.Rip));
            instructionPointer = after.Rip;
        }
        return count;
    }

    private static bool IsBranch(FlowControl flow) =>
        flow is FlowControl.UnconditionalBranch or FlowControl.IndirectBranch or FlowControl.ConditionalBranch
            or FlowControl.Return or FlowControl.Call or FlowControl.IndirectCall;
}
