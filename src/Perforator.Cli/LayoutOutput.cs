using System.Globalization;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Layout;
using Perforator.Layout.Bolt;

namespace Perforator.Cli;

/// <summary>Writes what <c>--for bolt</c>.</summary>
internal static class LayoutOutput
{
    /// <summary>Whether this is for laying out code, which needs a binary's addresses and not its debug info.</summary>
    public static bool IsLayout(Optimiser optimiser) => optimiser == Optimiser.Bolt;

    /// <summary>The files that are written for a name that the user gave.</summary>
    public static string[] Files(string name) => [name];

    /// <summary>Refuses a binary that the consumer can do nothing with.</summary>
    /// <exception cref="UserErrorException">It is one; the message says what to build with.</exception>
    public static void Require(Optimiser optimiser, LayoutBinary binary)
    {
        if (optimiser == Optimiser.Bolt)
            binary.RequireForBolt();
    }

    /// <summary>Lays out and writes.</summary>
    /// <param name="name">The file, or what the files' names begin with; null or "-" for standard output, which takes one file.</param>
    /// <exception cref="UserErrorException">The profile is of no use for it, or cannot be written.</exception>
    public static void Write(Optimiser optimiser, BranchProfile branches, LayoutBinary binary, string? name, LayoutReport report)
    {
        if (branches.TraceCounters == 0)
            throw new UserErrorException(branches.Addresses.Count == 0
                ? $"nothing was recorded in {binary.Path}"
                : $"of {binary.Path} only addresses were sampled, which do not tell branches: record branch stacks (perforator record, perf record -j any,u)");
        WriteBolt(branches, binary, name, report);
    }

    private static void WriteBolt(BranchProfile branches, LayoutBinary binary, string? name, LayoutReport report)
    {
        BoltProfile profile = BoltProfile.Of(branches, binary.Functions);
        if (profile.Functions == 0)
            throw new UserErrorException($"none of the branches are in functions that {binary.Path} has symbols of: name the binary that ran, from before strip");
        using MemoryStream text = new();
        profile.Write(text);
        if (name is null or "-")
        {
            using Stream output = Console.OpenStandardOutput();
            text.WriteTo(output);
        }
        else
        {
            WholeFile.Write(name, text.GetBuffer().AsSpan(0, (int)text.Length));
        }
        report.Add("Functions", profile.Functions);
        report.Add("Mispredicted", profile.Mispredicted);
        report.AddFinding(profile.BranchesLeftOut, profile.Branches + profile.BranchesLeftOut, "of branches are in no function that has a symbol: BOLT leaves them out");
        report.AddFinding(profile.RangesLeftOut, profile.Ranges, "of ranges do not lie in one function that has a symbol: BOLT leaves them out");
        report.AddFinding(profile.UnpairedRanges, profile.Ranges,
            "of ranges come without the branch before them, as older files have them: which were reached from other functions is estimated");
        if (profile.Mispredicted == 0)
            report.Notes.Add("Mispredictions are all 0: the source does not tell them; BOLT uses them for little (-jump-tables, cmov conversion).");
        string file = name is null or "-" ? "FILE" : name;
        report.Notes.Add(binary.IsWrittenByBolt
            ? string.Create(CultureInfo.InvariantCulture,
                $"{binary.Path} was written by BOLT: perf2bolt -pa -p {file} -o {file}.fdata {binary.Path} translates this, for llvm-bolt -data {file}.fdata on the binary that BOLT was given")
            : string.Create(CultureInfo.InvariantCulture, $"Use it with llvm-bolt {binary.Path} -pa -p {file} -o …"));
    }
}
