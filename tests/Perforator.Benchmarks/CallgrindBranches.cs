using System.Globalization;

namespace Perforator.Benchmarks;

/// <summary>
/// Exact counts of jumps and calls inside one binary, from callgrind's file (--dump-instr=yes --collect-jumps=yes --compress-pos=no
/// --compress-strings=no; https://valgrind.org/docs/manual/cl-format.html). Returns are not in it.
/// </summary>
internal static class CallgrindBranches
{
    /// <summary>Where Valgrind loads position-independent programs.</summary>
    private const ulong LoadAddress = 0x108000;

    public static Dictionary<(ulong From, ulong To), double> Load(string path, string binary)
    {
        Dictionary<(ulong, ulong), double> counts = [];
        string name = Path.GetFileName(binary);
        bool inside = false, calleeInside = true;
        (double Count, ulong To)? pending = null;
        foreach (string line in File.ReadLines(path))
        {
            if (line.StartsWith("ob=", StringComparison.Ordinal))
                inside = Path.GetFileName(line[3..]) == name;
            else if (line.StartsWith("cob=", StringComparison.Ordinal))
                calleeInside = Path.GetFileName(line[4..]) == name;
            else if (line.StartsWith("jump=", StringComparison.Ordinal) || line.StartsWith("jcnd=", StringComparison.Ordinal))
                pending = inside ? Target(line[5..]) : null;
            else if (line.StartsWith("calls=", StringComparison.Ordinal))
            {
                pending = inside && calleeInside ? Target(line[6..]) : null;
                calleeInside = inside;
            }
            else if (pending is { } branch && line.StartsWith("0x", StringComparison.Ordinal))
            {
                (ulong, ulong) key = (Address(line.Split(' ')[0]), branch.To);
                counts[key] = counts.GetValueOrDefault(key) + branch.Count;
                pending = null;
            }
        }
        // Some versions write addresses as they are in the file, others as Valgrind loads position-independent programs.
        ulong bias = counts.Count > 0 && counts.Keys.Min(k => k.Item1) >= LoadAddress ? LoadAddress : 0;
        return counts.ToDictionary(c => (c.Key.Item1 - bias, c.Key.Item2 - bias), c => c.Value);
    }

    // "COUNT TARGET LINE", or "TAKEN/EXECUTED TARGET LINE" for conditional jumps.
    private static (double, ulong) Target(string text)
    {
        string[] fields = text.Split(' ');
        return (double.Parse(fields[0].Split('/')[0], CultureInfo.InvariantCulture), Address(fields[1]));
    }

    private static ulong Address(string text) => ulong.Parse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
}
