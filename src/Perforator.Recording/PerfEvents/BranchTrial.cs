using System.Runtime.CompilerServices;
using Perforator.Branches;
using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// What came of recording a small loop of our own with one event: an event that opens need not give branch stacks, as hypervisors open
/// it and leave the stacks empty, and need not count what its name says on a CPU that the tables do not know.
/// </summary>
/// <param name="Candidate">What was tried.</param>
/// <param name="Error">The error number of perf_event_open or of mapping the ring; 0 when neither failed.</param>
internal sealed record BranchTrial(BranchEvent Candidate, int Error)
{
    /// <summary>Taken branches of the loop, at least.</summary>
    public const ulong LoopBranches = 2_000_000;

    /// <summary>Taken branches between samples: far more than a BRS holds (it wants more than its depth), some 40 stacks in all.</summary>
    private const ulong TakenPeriod = 50_021;

    /// <summary>Cycles between samples: below kernel.perf_event_max_sample_rate on any CPU.</summary>
    private const ulong CyclePeriod = 100_003;

    /// <summary>Room for 40 stacks of 64 entries.</summary>
    private const int RingBytes = 128 * 1024;

    /// <summary>The event with the attributes that the kernel took; null when it did not open.</summary>
    public BranchEvent? Opened { get; private init; }

    /// <summary>Whether the loop was recorded; false where no CPU of the event's kind may be used by this process.</summary>
    public bool WasRun { get; private init; }

    /// <summary>Samples that came.</summary>
    public int Stacks { get; private init; }

    /// <summary>Of them, those without an entry whose both ends are in user memory.</summary>
    public int EmptyStacks { get; private init; }

    /// <summary>Entries of the longest stack.</summary>
    public int Deepest { get; private init; }

    /// <summary>What the event counted.</summary>
    public ulong Counted { get; private init; }

    /// <summary>Why the event is of no use, as the rest of a sentence that begins with its name; null when it is.</summary>
    public string? Refusal =>
        Error != 0 ? Syscalls.Describe(Error)
        : !WasRun ? null
        : Stacks == 0 && Counted == 0 ? "opens, but counts nothing"
        : Candidate.CountsTakenBranches && Counted is < LoopBranches / 2 or > 4 * LoopBranches
            ? $"opens, but counts {Counted:N0} where a loop takes {LoopBranches:N0} branches"
        : Stacks == 0 ? "opens and counts, but no sample comes"
        : EmptyStacks > Stacks / 2 ? $"opens, but {EmptyStacks} of {Stacks} branch stacks of a loop came empty"
        : null;

    /// <summary>Tries one event on the calling thread, which may be moved to a CPU of its kind.</summary>
    public static BranchTrial Run(IKernel kernel, BranchEvent candidate)
    {
        bool mayRun = candidate.Pmu?.Cpus is not { } cpus || cpus.Any(kernel.RunOn);
        if (BranchStackSupport.TryOpen(kernel, candidate, 0, mayRun ? -1 : candidate.Pmu!.Cpus![0], out int error) is not { } opened)
            return new(candidate, error);
        return mayRun ? Record(kernel, candidate, opened) : new(candidate, 0) { Opened = opened };
    }

    private static BranchTrial Record(IKernel kernel, BranchEvent candidate, BranchEvent opened)
    {
        PerfEventAttributes attributes =
            opened.Attributes with { SamplePeriod = candidate.CountsTakenBranches ? TakenPeriod : CyclePeriod };
        using PerfEvent? counter = PerfEvent.TryOpen(kernel, attributes, 0, -1, out int error);
        if (counter is null)
            return new(candidate, error);
        using PerfRing? ring = PerfRing.TryMap(kernel, counter, RingBytes, out error);
        if (ring is null)
            return new(candidate, error) { Opened = opened };
        _ = counter.Enable();
        Loop();
        counter.Disable();

        PerfRecordLayout layout = new(attributes);
        BranchEntry[] entries = new BranchEntry[ushort.MaxValue / PerfBranchEntryBits.Size];
        int stacks = 0, empty = 0, deepest = 0;
        try
        {
            ring.Read((record, _) =>
            {
                if (PerfRecordHeader.Parse(record).Type != PerfRecordType.PERF_RECORD_SAMPLE
                    || !PerfSample.TryDecode(record, layout, out PerfSample sample))
                    return;
                int user = 0;
                foreach (BranchEntry entry in entries.AsSpan(0, sample.CopyBranches(entries)))
                    if (IsUser(entry.From) && IsUser(entry.To))
                        user++;
                stacks++;
                empty += user == 0 ? 1 : 0;
                deepest = Math.Max(deepest, sample.BranchCount);
            }, layout);
        }
        catch (InvalidDataException)
        {
            // What was read before counts.
        }
        return new(candidate, 0)
        {
            Opened = opened,
            WasRun = true,
            Stacks = stacks,
            EmptyStacks = empty,
            Deepest = deepest,
            Counted = counter.ReadCount(),
        };
    }

    private static bool IsUser(RuntimeAddress address) => address.Value is not 0 and < 1UL << 63;

    /// <summary>Jumps back <see cref="LoopBranches"/> times, and forwards for about every other round.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void Loop()
    {
        uint state = 1;
        for (ulong i = 0; i <= LoopBranches; i++)
        {
            state = state * 1_664_525 + 1_013_904_223;
            if ((state & 0x1000_0000) != 0)
                Volatile.Write(ref sum, sum + state);
        }
    }

    private static uint sum;
}
