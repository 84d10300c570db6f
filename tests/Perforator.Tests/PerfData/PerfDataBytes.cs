using Perforator.PerfData;

namespace Perforator.Tests.PerfData;

/// <summary>Whole perf.data files, record by record: for what neither this machine's perf nor our writer leaves.</summary>
internal static class PerfDataBytes
{
    /// <summary>What <c>perf record</c> writes into a file.</summary>
    public static byte[] File(
        (PerfEventAttributes Attributes, ulong[] Ids)[] events, IEnumerable<byte[]> records,
        params (int Feature, byte[] Section)[] features)
    {
        const int HeaderSize = 104, AttributeSize = PerfEventAttributes.WrittenSize + 16;
        byte[] data = [.. records.SelectMany(record => record)];
        ulong ids = HeaderSize, attributes = ids
            + 8 * (ulong)events.Sum(e => e.Ids.Length), start = attributes + (ulong)(events.Length * AttributeSize);
        ulong[] bits = new ulong[4];
        foreach ((int feature, _) in features)
            bits[feature / 64] |= 1UL << feature % 64;

        List<byte> file = [.. "PERFILE2"u8];
        Write(HeaderSize, AttributeSize, attributes, (ulong)(events.Length * AttributeSize), start, (ulong)data.Length, 0, 0);
        Write(bits);
        foreach ((_, ulong[] of) in events)
            Write(of);
        foreach ((PerfEventAttributes of, ulong[] its) in events)
        {
            file.AddRange(of.ToBytes());
            Write(ids, 8 * (ulong)its.Length);
            ids += 8 * (ulong)its.Length;
        }
        file.AddRange(data);
        ulong section = (ulong)(file.Count + 16 * features.Length);
        foreach ((_, byte[] bytes) in features.OrderBy(f => f.Feature))
        {
            Write(section, (ulong)bytes.Length);
            section += (ulong)bytes.Length;
        }
        foreach ((_, byte[] bytes) in features.OrderBy(f => f.Feature))
            file.AddRange(bytes);
        return [.. file];

        void Write(params ulong[] words) => file.AddRange(words.SelectMany(BitConverter.GetBytes));
    }

    /// <summary>What <c>perf record -o -</c> writes into a pipe.</summary>
    public static byte[] Pipe((PerfEventAttributes Attributes, ulong[] Ids)[] events, IEnumerable<byte[]> records) =>
    [
        .. "PERFILE2"u8, .. BitConverter.GetBytes(16UL),
        .. events.SelectMany(
            e => new RecordBytes(PerfRecordType.PERF_RECORD_HEADER_ATTR).Bytes(e.Attributes.ToBytes()).U64(e.Ids).ToArray()),
        .. records.SelectMany(record => record),
    ];

    public static byte[] FinishedRound => new RecordBytes(PerfRecordType.PERF_RECORD_FINISHED_ROUND).ToArray();
}
