namespace Perforator.PerfData;

/// <summary>Receives one record, header included; the bytes are valid only during the call.</summary>
public delegate void PerfRecordHandler(ReadOnlySpan<byte> record, PerfRecordLayout layout);

/// <summary>
/// Brings records of several ring buffers into time order. Each buffer is ordered by itself, but they are read one after another,
/// so a record is let out only once every buffer was read again after it: at the end of a round, everything not newer than the
/// newest record of the round before (what perf's FINISHED_ROUND means). Records without a time keep their place in the order of arrival.
/// </summary>
public sealed class PerfRecordQueue
{
    private readonly record struct Entry(ulong Time, int Sequence, int Start, int Length, PerfRecordLayout Layout);

    private readonly List<Entry> entries = [];
    private byte[] bytes = new byte[64 * 1024];
    private byte[] spare = [];
    private int used;
    private ulong newest;
    private ulong newestOfLastRound;
    private ulong newestReleased;
    private bool sorted = true;

    /// <summary>How many bytes of records wait.</summary>
    public int PendingBytes => used;

    /// <summary>How many records came after a newer one had been let out, so that their order was lost.</summary>
    public ulong Late { get; private set; }

    /// <summary>Keeps a copy of a record until its turn.</summary>
    public void Add(ReadOnlySpan<byte> record, PerfRecordLayout layout)
    {
        if (record.Length > bytes.Length - used)
            Array.Resize(ref bytes, checked(Math.Max(bytes.Length * 2, used + record.Length)));
        record.CopyTo(bytes.AsSpan(used));
        ulong time = layout.Time(record, PerfRecordHeader.Parse(record).Type);
        if (time == 0)
            time = newest;
        if (time < newestReleased)
            Late++;
        sorted &= time >= newest;
        newest = Math.Max(newest, time);
        entries.Add(new Entry(time, entries.Count, used, record.Length, layout));
        used += record.Length;
    }

    /// <summary>Every buffer has been read once more: lets out what can no longer be overtaken.</summary>
    public void FinishRound(PerfRecordHandler handler)
    {
        Release(newestOfLastRound, handler);
        newestOfLastRound = newest;
    }

    /// <summary>Lets out the older half of what waits, for sources that never finish a round.</summary>
    public void ReleaseOlderHalf(PerfRecordHandler handler)
    {
        Sort();
        if (entries.Count > 0)
            Release(entries[entries.Count / 2].Time, handler);
    }

    /// <summary>Lets out all that is left, when no more records will come.</summary>
    public void Finish(PerfRecordHandler handler) => Release(ulong.MaxValue, handler);

    private void Release(ulong limit, PerfRecordHandler handler)
    {
        Sort();
        int count = 0;
        while (count < entries.Count && entries[count].Time <= limit)
        {
            Entry entry = entries[count++];
            handler(bytes.AsSpan(entry.Start, entry.Length), entry.Layout);
        }
        if (count == 0)
            return;
        newestReleased = Math.Max(newestReleased, entries[count - 1].Time);
        KeepFrom(count);
    }

    private void Sort()
    {
        if (!sorted)
            entries.Sort(static (a, b) => a.Time != b.Time ? a.Time.CompareTo(b.Time) : a.Sequence.CompareTo(b.Sequence));
        sorted = true;
    }

    private void KeepFrom(int first)
    {
        byte[] rest = spare.Length == bytes.Length ? spare : new byte[bytes.Length];
        used = 0;
        int kept = 0;
        for (int i = first; i < entries.Count; i++, kept++)
        {
            Entry entry = entries[i];
            bytes.AsSpan(entry.Start, entry.Length).CopyTo(rest.AsSpan(used));
            entries[kept] = entry with { Sequence = kept, Start = used };
            used += entry.Length;
        }
        entries.RemoveRange(kept, entries.Count - kept);
        (bytes, spare) = (rest, bytes);
    }
}
