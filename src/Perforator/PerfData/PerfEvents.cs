using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.PerfData;

/// <summary>The events of one recording and which of them a record is of.</summary>
internal sealed class PerfEvents
{
    /// <summary>A sample whose event the header does not describe.</summary>
    public const string UnknownEvent = "sample of an event that the file does not describe";

    /// <summary>A sample of an event of no use beside better ones.</summary>
    public const string UnusedEvent =
        "sample of an event of no use beside the file's others (branch stacks come first, then cycles and CPU time)";

    /// <summary>The most events a file may have; more are a sign of damage.</summary>
    private const int MaxEvents = 1 << 16;

    private readonly List<PerfRecordLayout> layouts = [];
    private readonly Dictionary<ulong, PerfRecordLayout> byId = [];
    private readonly Dictionary<PerfRecordLayout, string> names = [];
    private ulong lastId;
    private PerfRecordLayout? last;
    private HashSet<PerfRecordLayout>? used;

    /// <summary>The attributes of all events, in the order of the file.</summary>
    public IEnumerable<PerfEventAttributes> Attributes => layouts.Select(layout => layout.Attributes);

    public int Count => layouts.Count;

    /// <summary>The event whose samples count, as perf names it; null for the best.</summary>
    public string? Wanted { get; set; }

    /// <summary>The events' names, in the order of the file.</summary>
    public IEnumerable<string> Names => layouts.Select(NameOf);

    /// <summary>The names of those whose samples count.</summary>
    public IEnumerable<string> UsedNames => Choose().Select(NameOf);

    /// <summary>Names the event that has these ids.</summary>
    public void Name(string name, ReadOnlySpan<ulong> ids)
    {
        // An event of one that has no ids is the only one.
        PerfRecordLayout? named = layouts.Count == 1 ? layouts[0] : null;
        foreach (ulong id in ids)
            if (byId.TryGetValue(id, out PerfRecordLayout? layout))
                named = layout;
        if (named is not null)
            (names[named], used) = (name, null);
    }

    /// <summary>Names the event that has this id.</summary>
    public void Name(ulong id, ReadOnlySpan<byte> text)
    {
        int end = text.IndexOf((byte)0);
        Name(System.Text.Encoding.UTF8.GetString(end < 0 ? text : text[..end]), [id]);
    }

    private string NameOf(PerfRecordLayout layout) => names.TryGetValue(layout, out string? name) ? name : layout.Attributes.Name;

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
        if (layouts.Count == 1 && (Wanted is null || type != PerfRecordType.PERF_RECORD_SAMPLE))
            return first;
        ulong id = first.EventId(record, type);
        PerfRecordLayout? layout = last;
        if (layout is null || id != lastId)
        {
            // What perf writes itself has no id and is laid out like the first event's records.
            if (!byId.TryGetValue(id, out layout) && layouts.Count == 1)
                layout = first;
            if (layout is null && type != PerfRecordType.PERF_RECORD_SAMPLE)
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
        if (layouts.Count == 0)
            return [];
        if (Wanted is not null)
            return [.. layouts.Where(layout => EventName.AreSame(NameOf(layout), Wanted))];
        HashSet<PerfRecordLayout> chosen = [.. layouts.Where(layout => layout.HasBranchStack)];
        if (chosen.Count == 0)
            chosen = [.. layouts.Where(layout => MeasuresTime(layout.Attributes))];
        return chosen.Count == 0 ? [layouts[0]] : chosen;
    }

    /// <summary>
    /// Hardware cycles, on any of a hybrid CPU's PMUs (named in the upper half of the configuration), cpu-clock or task-clock.
    /// </summary>
    private static bool MeasuresTime(PerfEventAttributes attributes) => (attributes.Type, attributes.Config & uint.MaxValue) switch
    {
        (PerfEventAttributes.PERF_TYPE_HARDWARE, PerfEventAttributes.PERF_COUNT_HW_CPU_CYCLES) => true,
        (PerfEventAttributes.PERF_TYPE_SOFTWARE, PerfEventAttributes.PERF_COUNT_SW_CPU_CLOCK
            or PerfEventAttributes.PERF_COUNT_SW_TASK_CLOCK) => true,
        _ => false,
    };
}
