namespace Perforator.Bytes;

/// <summary>
/// The only exception a reader of untrusted bytes lets out. Caught once per unit of loss (a file, a compile unit, a record)
/// and counted there by reason.
/// </summary>
public sealed class MalformedInputException : Exception
{
    /// <param name="what">What is wrong, as a person would say it: "truncated", "size 12 is larger than the section".</param>
    /// <param name="where">The structure that was being read: ".debug_line header", "PERF_RECORD_MMAP2".</param>
    /// <param name="offset">Position in bytes from the start of what <paramref name="where"/> names.</param>
    public MalformedInputException(string what, string where, ulong offset)
        : base($"{where} at offset 0x{offset:x}: {what}")
    {
        What = what;
        Where = where;
        Offset = offset;
    }

    /// <summary>What is wrong.</summary>
    public string What { get; }

    /// <summary>The structure that was being read.</summary>
    public string Where { get; }

    /// <summary>Position in bytes from the start of the structure's container.</summary>
    public ulong Offset { get; }

    /// <summary>Whether it is larger than the caller accepts, and perhaps sound apart from that.</summary>
    public bool IsTooLarge { get; init; }

    /// <summary>Whether it says itself that it is of a version that is not known here, and is perhaps sound.</summary>
    public bool IsOtherVersion { get; init; }
}
