using System.Text;
using Perforator.Branches;

namespace Perforator.Tests.PerfData;

/// <summary>
/// Puts into stacks what CPUs put there besides branches: interrupts, faults, a wrongly speculated path, branches not taken, entries left
/// empty; and writes all of it as the newest perf script would print it, beside.
/// </summary>
internal sealed class DisturbedStacks(IBranchSink next, bool onlyInterrupts) : IBranchSink
{
    private static readonly string[] InterruptTypes =
        ["IRQ", "SERROR", "FAULT_ALGN", "FAULT_DATA", "FAULT_INST", "ARCH_1", "ARCH_2", "ARCH_5", "ARM64_FIQ", "ARM64_DEBUG_HALT", "ARM64_DEBUG_DATA"];

    private static readonly string[] BranchTypes =
        ["", "COND", "UNCOND", "IND_CALL", "RET", "SYSCALL", "NO_TX", "ARCH_3", "ARM64_DEBUG_EXIT", "N/A"];

    private readonly Random random = new(1);
    private readonly List<BranchEntry> entries = [];

    /// <summary>Whether only what did not happen is put in.</summary>
    public bool LeavesOutInterrupts { get; init; }

    /// <summary>The text.</summary>
    public StringBuilder Text { get; } = new();

    public void OnSample(in BranchSample sample)
    {
        entries.Clear();
        foreach (BranchEntry entry in sample.Stack)
        {
            ulong beside = entry.From.Value - (ulong)random.Next(4);
            switch (random.Next(LeavesOutInterrupts ? 2 : 0, onlyInterrupts ? 2 : 4) + 8 * random.Next(8))
            {
                case 0:
                    // Newest first: back from the kernel, into it.
                    entries.Add(new(new(0xffff_ffff_8100_2000), new(beside)));
                    entries.Add(new(new(beside), new(0xffff_ffff_8100_0000), BranchFlags.Interrupt));
                    break;
                case 1:
                    entries.Add(new(new(beside), default, BranchFlags.Interrupt | BranchFlags.Predicted));
                    break;
                case 2:
                    entries.Add(new(new(beside), entry.To, BranchFlags.SpeculativeWrongPath | BranchFlags.Mispredicted));
                    break;
                case 3:
                    entries.Add(new(new(beside), new(beside + 2), BranchFlags.NotTaken | BranchFlags.Predicted));
                    break;
            }
            entries.Add(entry);
        }
        for (int empty = random.Next(8); empty > 4; empty--)
            entries.Add(default);
        Text.Append($"{sample.InstructionPointer.Value,17:x} ");
        foreach (BranchEntry entry in entries)
            Text.Append($" {Print(entry)} ");
        Text.Append('\n');
        next.OnSample(new BranchSample
        {
            ProcessId = sample.ProcessId,
            ThreadId = sample.ThreadId,
            Time = sample.Time,
            InstructionPointer = sample.InstructionPointer,
            Stack = entries.ToArray(),
            Weight = 1,
        });
    }

    private string Print(BranchEntry entry)
    {
        string outcome = (entry.Flags & BranchFlags.Predicted) != 0 ? "P" : (entry.Flags & BranchFlags.Mispredicted) != 0 ? "M" : "-";
        string taken = (entry.Flags & BranchFlags.NotTaken) != 0 ? "N" : "";
        string[] types = (entry.Flags & BranchFlags.Interrupt) != 0 ? InterruptTypes : BranchTypes;
        string speculation =
            (entry.Flags & BranchFlags.SpeculativeWrongPath) != 0 ? "SPEC_WRONG_PATH" : random.Next(2) == 0 ? "-" : "NON_SPEC_CORRECT_PATH";
        return $"0x{entry.From.Value:x}/0x{entry.To.Value:x}/{outcome}{taken}/-/-/{random.Next(70000)}/{types[random.Next(types.Length)].Replace("N/A", "-")}/{speculation}";
    }

    public void OnMapping(Mapping mapping)
    {
        Text.Append($"PERF_RECORD_MMAP2 {mapping.ProcessId}/{mapping.ProcessId}: [0x{mapping.Start.Value:x}(0x{mapping.Length:x}) @ 0x{mapping.Offset.Value:x} 08:01 1 1]: r-xp {mapping.Path}\n");
        next.OnMapping(mapping);
    }

    public void OnFork(int processId, int parentProcessId) => next.OnFork(processId, parentProcessId);

    public void OnExec(int processId) => next.OnExec(processId);

    public void OnExit(int processId) => next.OnExit(processId);

    public void OnLost(string reason, ulong count) => next.OnLost(reason, count);
}
