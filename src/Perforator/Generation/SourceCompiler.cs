using System.Globalization;

namespace Perforator.Generation;

/// <summary>A compiler that code came from, as DW_AT_producer names it.</summary>
public enum SourceCompiler
{
    /// <summary>Not told, an assembler, or one not listed here.</summary>
    Unknown,

    /// <summary>clang, rustc, LDC or another on LLVM.</summary>
    Llvm,

    /// <summary>GCC in any of its languages.</summary>
    Gcc,

    /// <summary>Go's own compiler.</summary>
    Go,
}

/// <summary>Reads DW_AT_producer.</summary>
internal static class Producer
{
    private const string GccPrefix = "GNU ";

    /// <summary>Which compiler it names.</summary>
    public static SourceCompiler CompilerOf(string producer) =>
        producer.StartsWith("Go cmd/compile", StringComparison.Ordinal) ? SourceCompiler.Go
        : producer.StartsWith(GccPrefix, StringComparison.Ordinal) && !producer.StartsWith("GNU AS", StringComparison.Ordinal)
            ? SourceCompiler.Gcc
        : producer.Contains("clang", StringComparison.Ordinal) || producer.Contains("LLVM", StringComparison.Ordinal) ? SourceCompiler.Llvm
        : SourceCompiler.Unknown;

    /// <summary>The compiler with its version, without the options that GCC puts behind.</summary>
    public static string Short(string producer)
    {
        int options = producer.IndexOf(" -", StringComparison.Ordinal);
        return options > 0 ? producer[..options] : producer;
    }

    /// <summary>The major version of GCC ("GNU C17 12.2.0 -mtune=…"); 0 for what is not GCC's.</summary>
    public static int GccVersion(string producer)
    {
        if (CompilerOf(producer) != SourceCompiler.Gcc)
            return 0;
        string[] words = Short(producer).Split(' ');
        string version = Array.Find(words[1..], static word => word.Contains('.') && char.IsAsciiDigit(word[0])) ?? "";
        return int.TryParse(version.Split('.')[0], NumberStyles.None, CultureInfo.InvariantCulture, out int major) ? major : 0;
    }
}
