namespace Perforator.PerfData;

/// <summary>Receives one record, header included; the bytes are valid only during the call.</summary>
public delegate void PerfRecordHandler(ReadOnlySpan<byte> record, PerfRecordLayout layout);

/// <summary>
/// Brings records of several ring buffers into time order. Each buffer is ordered by itself, but they are read one after another,
/// so a record is let out only once every buffer was read again after it: at the end of a round, everything not newer than the
/// newest record of the round before (what perf's FINISHED_ROUND means). A record without a time comes before all that waits: perf itself
/// writes these, of the processes there were before, and <c>perf record --tail-synthesize</c> does so last.
/// </summary>
public sealed class PerfRecordQueue
{
    private Round current = new();
    private Round previous = new();
    private ulong newest;
    private ulong newestOfLastRound;
    private ulong newestReleased;

    /// <summary>How many bytes of records came since the last round ended.</summary>
    public int BytesOfRound => current.Bytes;

    /// <summary>How many records wait.</summary>
    public int Pending => current.Pending + previous.Pending;

    /// <summary>How many records came after a newer one had been let out, so that their order was lost.</summary>
    public ulong Late { get; private set; }

    /// <summary>Keeps a copy of a record until its turn.</summary>
    public void Add(ReadOnlySpan<byte> record, PerfRecordLayout layout)
    {
        ulong time = layout.Time(record, PerfRecordHeader.Read(record).Type);
        if (time == 0)
            time = newestReleased;
        if (time < newestReleased)
            Late++;
        newest = Math.Max(newest, time);
        current.Add(time, record, layout);
    }

    /// <summary>Every buffer has been read once more: lets out what can no longer be overtaken.</summary>
    public void FinishRound(PerfRecordHandler handler)
    {
        Release(newestOfLastRound, handler);
        newestOfLastRound = newest;
        // All of the round before is older than its newest record, so that none of it is left.
        previous.Clear();
        (previous, current) = (current, previous);
    }

    /// <summary>Lets out all that is left, when no more records will come.</summary>
    public void Finish(PerfRecordHandler handler)
    {
        Release(ulong.MaxValue, handler);
        previous.Clear();
        current.Clear();
    }

    private void Release(ulong limit, PerfRecordHandler handler)
    {
        previous.Sort();
        current.Sort();
        while (true)
        {
            ulong older = previous.NextTime, newer = current.NextTime;
            Round from = older <= newer ? previous : current;
            ulong until = Math.Min(limit, older <= newer ? newer : older - 1);
            if (from.Pending == 0 || from.NextTime > limit)
                return;
            newestReleased = Math.Max(newestReleased, from.Release(until, handler));
        }
    }

    /// <summary>What came between two ends of rounds, in one block of memory that later rounds use again.</summary>
    private sealed class Round
    {
        private readonly record struct Entry(ulong Time, int Start, int Length, PerfRecordLayout Layout);

        private readonly List<Entry> entries = [];
        private byte[] bytes = new byte[64 * 1024];
        private ulong newest;
        private bool sorted = true;
        private int released;

        public int Bytes { get; private set; }

        public int Pending => entries.Count - released;

        /// <summary>The time of the oldest record; the largest number when there is none. Of use once sorted.</summary>
        public ulong NextTime => released < entries.Count ? entries[released].Time : ulong.MaxValue;

        public void Add(ulong time, ReadOnlySpan<byte> record, PerfRecordLayout layout)
        {
            if (record.Length > bytes.Length - Bytes)
                Array.Resize(ref bytes, checked(Math.Max(bytes.Length * 2, Bytes + record.Length)));
            record.CopyTo(bytes.AsSpan(Bytes));
            entries.Add(new Entry(time, Bytes, record.Length, layout));
            Bytes += record.Length;
            sorted &= time >= newest;
            newest = Math.Max(newest, time);
        }

        /// <summary>By time and, where that is equal, by arrival.</summary>
        public void Sort()
        {
            if (!sorted)
                entries.Sort(static (a, b) => a.Time != b.Time ? a.Time.CompareTo(b.Time) : a.Start.CompareTo(b.Start));
            sorted = true;
        }

        /// <summary>Lets out the records up to a time, which there is at least one of, and returns the newest one's.</summary>
        public ulong Release(ulong limit, PerfRecordHandler handler)
        {
            Entry entry;
            do
            {
                entry = entries[released++];
                handler(bytes.AsSpan(entry.Start, entry.Length), entry.Layout);
            }
            while (released < entries.Count && entries[released].Time <= limit);
            return entry.Time;
        }

        public void Clear()
        {
            entries.Clear();
            (Bytes, released, newest, sorted) = (0, 0, 0, true);
        }
    }
}
