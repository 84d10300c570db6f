using System.Diagnostics.CodeAnalysis;
using System.Text;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// Mapping lines as perf script prints them:
/// <c>PERF_RECORD_MMAP2 pid/tid: [0xaddress(0xsize) @ 0xoffset major:minor inode generation]: r-xp path</c>, the same with
/// <c>&lt;build id&gt;</c> in place of device and inode, and
/// <c>PERF_RECORD_MMAP pid/tid: [0xaddress(0xsize) @ 0xoffset]: x path</c>.
/// </summary>
internal static class PerfScriptMapping
{
    public static bool TryParse(ReadOnlySpan<byte> record, [NotNullWhen(true)] out Mapping? mapping, out bool executable)
    {
        mapping = null;
        executable = false;
        PerfScriptTokens tokens = new(record);
        if (!tokens.Next(out _) || !tokens.Next(out ReadOnlySpan<byte> ids) || !TryProcess(ids, out int process))
            return false;
        int open = record.IndexOf((byte)'['), close = record.IndexOf("]: "u8);
        if (open < 0 || close < open)
            return false;

        ReadOnlySpan<byte> range = record[(open + 1)..close];
        int parenthesis = range.IndexOf((byte)'('), end = range.IndexOf((byte)')'), at = range.IndexOf("@ "u8);
        if (parenthesis < 0 || end < parenthesis || at < end ||
            !PerfScriptTokens.TryHex(range[..parenthesis], out ulong start)
            || !PerfScriptTokens.TryHex(range[(parenthesis + 1)..end], out ulong size))
            return false;
        PerfScriptTokens file = new(range[at..]);
        file.Next(out _);
        if (!file.Next(out ReadOnlySpan<byte> offsetText) || !PerfScriptTokens.TryHex(offsetText, out ulong offset)
            || size > ulong.MaxValue - start)
            return false;
        BuildId buildId = default;
        if (file.Next(out ReadOnlySpan<byte> id) && id[0] == '<'
            && !BuildId.TryParse(Encoding.ASCII.GetString(id.Trim("<>"u8)), out buildId))
            return false;

        PerfScriptTokens tail = new(record[(close + 3)..]);
        if (!tail.Next(out ReadOnlySpan<byte> protection))
            return false;
        executable = protection.Contains((byte)'x');
        string path = Encoding.UTF8.GetString(tail.Rest.TrimEnd("\r "u8));
        mapping = new Mapping(process, new(start), size, new(offset), path, buildId);
        return true;
    }

    private static bool TryProcess(ReadOnlySpan<byte> ids, out int process)
    {
        process = -1;
        int slash = ids.IndexOf((byte)'/');
        if (slash <= 0)
            return false;
        if (ids[..slash].SequenceEqual("-1"u8))
            return true;
        if (!PerfScriptTokens.TryDecimal(ids[..slash], out ulong id) || id > int.MaxValue)
            return false;
        process = (int)id;
        return true;
    }
}
