using System.Runtime.InteropServices;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>The events of one recording and which of them a record is of.</summary>
internal sealed class PerfEvents
{
    /// <summary>A sample whose event the header does not describe.</summary>
    public const string UnknownEvent = "sample of an event that the file does not describe";

    /// <summary>A sample of an event of no use beside better ones.</summary>
    public const string UnusedEvent = "sample of an event of no use beside the file's others (branch stacks come first, then cycles and CPU time)";

    /// <summary>The most events a file may have; more are a sign of damage.</summary>
    private const int MaxEvents = 1 << 16;

    private readonly List<PerfRecordLayout> layouts = [];
    private readonly Dictionary<ulong, PerfRecordLayout> byId = [];
    private ulong lastId;
    private PerfRecordLayout? last;
    private HashSet<PerfRecordLayout>? used;

    /// <summary>The attributes of all events, in the order of the file.</summary>
    public IEnumerable<PerfEventAttributes> Attributes => layouts.Select(layout => layout.Attributes);

    public int Count => layouts.Count;

    /// <summary>Adds one event with its ids, 8 bytes each.</summary>
    /// <exception cref="MalformedInputException">The attributes cannot be read, or there are too many events.</exception>
    public void Add(ReadOnlySpan<byte> attributes, ReadOnlySpan<byte> ids)
    {
        if (layouts.Count == MaxEvents)
            throw new MalformedInputException($"more than {MaxEvents} events", "perf.data attributes", 0);
        PerfRecordLayout layout = new(PerfEventAttributes.Parse(attributes));
        layouts.Add(layout);
        foreach (ulong id in MemoryMarshal.Cast<byte, ulong>(ids))
            byId[id] = layout;
        last = null;
        used = null;
    }

    /// <summary>
    /// The layout of a record that the kernel wrote; null, with the reason, for a sample that is not wanted. All events keep their
    /// id in the same place, as perf demands of a recording.
    /// </summary>
    public PerfRecordLayout? Of(ReadOnlySpan<byte> record, PerfRecordType type, out string reason)
    {
        reason = UnknownEvent;
        if (layouts.Count == 0)
            return null;
        PerfRecordLayout first = layouts[0];
        if (layouts.Count == 1)
            return first;
        ulong id = first.EventId(record, type);
        PerfRecordLayout? layout = last;
        if (layout is null || id != lastId)
        {
            // What perf writes itself has no id and is laid out like the first event's records.
            if (!byId.TryGetValue(id, out layout) && type != PerfRecordType.PERF_RECORD_SAMPLE)
                layout = first;
            if (layout is null)
                return null;
            (lastId, last) = (id, layout);
        }
        if (type != PerfRecordType.PERF_RECORD_SAMPLE || (used ??= Choose()).Contains(layout))
            return layout;
        reason = UnusedEvent;
        return null;
    }

    /// <summary>
    /// The events whose samples count. Those with branch stacks if there are any; else those that measure time, since the
    /// samples of others (cache misses, page faults) do not say how often code runs; else the first.
    /// </summary>
    private HashSet<PerfRecordLayout> Choose()
    {
        HashSet<PerfRecordLayout> chosen = [.. layouts.Where(layout => layout.HasBranchStack)];
        if (chosen.Count == 0)
            chosen = [.. layouts.Where(layout => MeasuresTime(layout.Attributes))];
        return chosen.Count == 0 ? [layouts[0]] : chosen;
    }

    /// <summary>Hardware cycles, on any of a hybrid CPU's PMUs (named in the upper half of the configuration), cpu-clock or task-clock.</summary>
    private static bool MeasuresTime(PerfEventAttributes attributes) => (attributes.Type, attributes.Config & uint.MaxValue) switch
    {
        (PerfEventAttributes.PERF_TYPE_HARDWARE, PerfEventAttributes.PERF_COUNT_HW_CPU_CYCLES) => true,
        (PerfEventAttributes.PERF_TYPE_SOFTWARE, PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK or PerfEventAttributes.PERF_COUNT_SW_TASK_CLOCK) => true,
        _ => false,
    };
}
