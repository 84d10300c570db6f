using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Layout;

namespace Perforator.Cli;

/// <summary>Writes the files that <c>--for bolt</c> and <c>--for propeller</c> ask for.</summary>
internal static class LayoutOutput
{
    /// <summary>Who lays out code by the profile; null when it is for a compiler, and names source rather than addresses.</summary>
    public static LayoutConsumer? Consumer(Optimiser optimiser) => optimiser switch
    {
        Optimiser.Bolt => LayoutConsumer.Bolt,
        Optimiser.Propeller => LayoutConsumer.Propeller,
        _ => null,
    };

    /// <summary>Finds out before long work whether the files can be written.</summary>
    /// <param name="name">What their names begin with; null or "-" for standard output.</param>
    /// <exception cref="UserErrorException">One cannot.</exception>
    public static void Check(LayoutConsumer consumer, string? name)
    {
        foreach (string suffix in name is null or "-" ? [] : LayoutFiles.Suffixes(consumer))
            WholeFile.Check(name + suffix);
    }

    /// <summary>Lays out and writes.</summary>
    /// <param name="name">As in <see cref="Check"/>; standard output takes only one file.</param>
    /// <exception cref="UserErrorException">The profile is of no use for it, or cannot be written.</exception>
    public static void Write(LayoutConsumer consumer, BranchProfile branches, LayoutBinary binary, string? name, LayoutReport report)
    {
        bool toFile = name is not (null or "-");
        foreach (LayoutFile file in LayoutFiles.Make(consumer, branches, binary, toFile ? name! : "FILE", report))
        {
            if (toFile)
            {
                WholeFile.Write(name + file.Suffix, file.Content);
                continue;
            }
            using Stream output = Console.OpenStandardOutput();
            output.Write(file.Content);
        }
    }
}
