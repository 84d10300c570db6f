using System.Text;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// Text that holds counts instead of samples, in addresses of one binary: BOLT's pre-aggregated profiles (a letter a line) and AutoFDO's
/// text counts (fall-through ranges, addresses and branches, each part after its number of lines).
/// </summary>
/// <remarks>
/// BOLT, DataAggregator.h: <c>B from to count mispredicted</c>, <c>F from to count</c> and <c>f from to count</c> (fall-throughs, the
/// second of a call's or return's target), <c>S address count</c>. A location may be <c>build-id:address</c>.
/// AutoFDO, sample_reader.cc: <c>from-to:count</c>, <c>address:count</c>, <c>from->to:count</c>. All addresses are hexadecimal.
/// </remarks>
public sealed class BranchCountText
{
    /// <summary>A line of neither form.</summary>
    public const string UnknownLine = "line of branch counts not understood";

    /// <summary>No line of counts is longer, in characters.</summary>
    private const int MaxLine = 1 << 12;

    private readonly BranchProfile profile;

    /// <param name="profile">Takes up the counts; it says of which binary they are.</param>
    public BranchCountText(BranchProfile profile) => this.profile = profile;

    /// <summary>Lines that were counted.</summary>
    public ulong Counts { get; private set; }

    /// <summary>Whether text begins like this kind. perf script text never begins so.</summary>
    /// <param name="start">The text's first bytes, with its first two lines.</param>
    public static bool IsCounts(ReadOnlySpan<byte> start)
    {
        using StreamReader text = new(new MemoryStream(start[..Math.Min(start.Length, 4 * MaxLine)].ToArray()));
        string? first = ReadLine(text), second = ReadLine(text);
        return first is not null && IsFirstLine(first) && (!char.IsAsciiDigit(first[0]) || (second is not null && IsCount(second)));
    }

    /// <summary>Reads text to its end. What is not understood is counted as lost.</summary>
    public void Read(Stream stream)
    {
        using StreamReader text = new(stream, leaveOpen: true);
        while (ReadLine(text) is { } line)
            Read(line);
    }

    private static bool IsFirstLine(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return (words is ["B", _, _, _, _] or ["F" or "f", _, _, _] or ["S", _, _] && words[1..].All(word => !word.Contains('/')))
            || (words is [var count] && ulong.TryParse(count, out _) && line[0] is >= '0' and <= '9');
    }

    /// <summary>A line, of which at most the first <see cref="MaxLine"/> characters are kept; null at the end.</summary>
    private static string? ReadLine(StreamReader text)
    {
        int next = text.Read();
        if (next < 0)
            return null;
        StringBuilder line = new();
        for (; next >= 0 && next != '\n'; next = text.Read())
            if (line.Length < MaxLine)
                line.Append((char)next);
        if (line.Length > 0 && line[^1] == '\r')
            line.Length--;
        return line.ToString();
    }

    private static bool IsCount(string line) => line.Contains(':') && !line.Contains(' ');

    private void Read(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        bool understood = words switch
        {
            [] or [['#', ..], ..] => true,
            ["B", var from, var to, var count, var mispredicted] => Branch(from, to, count, mispredicted),
            ["F" or "f", var from, var to, var count] => Range(from, to, count),
            ["S", var address, var count] => Address(address, count),
            [var single] => ReadAutoFdo(single),
            _ => false,
        };
        if (!understood)
            profile.Losses.Add(UnknownLine);
    }

    private bool ReadAutoFdo(string text)
    {
        int colon = text.LastIndexOf(':');
        if (colon < 0)
            return ulong.TryParse(text, out _);
        (string place, string count) = (text[..colon], text[(colon + 1)..]);
        int arrow = place.IndexOf("->", StringComparison.Ordinal), dash = place.IndexOf('-');
        return arrow > 0 ? Branch(place[..arrow], place[(arrow + 2)..], count, "0")
            : dash > 0 ? Range(place[..dash], place[(dash + 1)..], count)
            : Address(place, count);
    }

    private bool Branch(string from, string to, string count, string mispredicted)
    {
        if (!TryAddress(from, out BinaryAddress source) || !TryAddress(to, out BinaryAddress target) || !ulong.TryParse(count, out ulong times)
            || !ulong.TryParse(mispredicted, out ulong missed) || (source.IsExternal && target.IsExternal))
            return false;
        profile.AddBranch(source, target, times, missed);
        profile.BranchEntries = unchecked(profile.BranchEntries + times) < times ? ulong.MaxValue : profile.BranchEntries + times;
        return Counted();
    }

    private bool Range(string from, string to, string count)
    {
        if (!TryAddress(from, out BinaryAddress begin) || !TryAddress(to, out BinaryAddress end) || !ulong.TryParse(count, out ulong times)
            || begin.IsExternal || end.IsExternal)
            return false;
        if (begin > end || end.Value - begin.Value > BranchAggregator.MaxRangeLength)
            profile.Losses.Add(BranchAggregator.BogusRange, times);
        else
            profile.AddRange(begin, end, times);
        return Counted();
    }

    private bool Address(string address, string count)
    {
        if (!TryAddress(address, out BinaryAddress sampled) || !ulong.TryParse(count, out ulong times) || sampled.IsExternal)
            return false;
        profile.Addresses.Add(sampled, default, times);
        return Counted();
    }

    private bool Counted()
    {
        Counts++;
        return true;
    }

    /// <summary>Hexadecimal, with or without 0x and BOLT's build id; 0 and other binaries' are outside this one.</summary>
    private bool TryAddress(string text, out BinaryAddress address)
    {
        address = BinaryAddress.External;
        int colon = text.IndexOf(':');
        if (colon >= 0)
        {
            if (BuildId.TryParse(text[..colon], out BuildId other) && other != profile.BuildId)
                return true;
            text = text[(colon + 1)..];
        }
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            text = text[2..];
        if (text == "X")
            return true;
        if (!ulong.TryParse(text, System.Globalization.NumberStyles.AllowHexSpecifier, null, out ulong value))
            return false;
        if (value != 0)
            address = new(value);
        return true;
    }
}
