namespace Perforator.SampleProfiles.Gcc;

/// <summary>
/// The numbers of GCC's AFDO profiles (<c>gcc -fauto-profile</c>), as <c>gcc/auto-profile.cc</c> reads them. All numbers are little-endian;
/// strings have their length in bytes before them, the terminating NUL included.
/// </summary>
internal static class GccFormat
{
    /// <summary>"gcda" as a number (<c>GCOV_DATA_MAGIC</c>).</summary>
    public const uint GCOV_DATA_MAGIC = 0x67636461;

    /// <summary>The format that GCC 12 to 15 read.</summary>
    public const uint Version2 = 2;

    /// <summary>The format that GCC 16 reads: with a summary, source files of functions, and timestamps.</summary>
    public const uint Version3 = 3;

    public const uint GCOV_TAG_AFDO_SUMMARY = 0xa8000000;
    public const uint GCOV_TAG_AFDO_FILE_NAMES = 0xaa000000;
    public const uint GCOV_TAG_AFDO_FUNCTION = 0xac000000;
    public const uint GCOV_TAG_MODULE_GROUPING = 0xae000000;

    /// <summary>The kind of a call target's histogram (<c>HIST_TYPE_INDIR_CALL</c>).</summary>
    public const uint HIST_TYPE_INDIR_CALL = 7;

    /// <summary>The index of a function whose source file is not told.</summary>
    public const uint NoFile = uint.MaxValue;

    /// <summary>The first GCC that reads these profiles; older ones have strings in words.</summary>
    public const int OldestGcc = 12;

    /// <summary>The format that a GCC reads, by its major version.</summary>
    public static uint VersionFor(int gcc) => gcc >= 16 ? Version3 : Version2;

    /// <summary>
    /// The name under which GCC looks a function up: without what optimisation appended behind a dot (<c>.isra.0</c>, <c>.cold</c>).
    /// </summary>
    public static string NameOf(string function)
    {
        int dot = function.IndexOf('.');
        return dot > 0 ? function[..dot] : function;
    }

    /// <summary>A place as GCC has it: line offset and discriminator, 16 bits each.</summary>
    public static uint Position(LineLocation location) => location.LineOffset << 16 | location.Discriminator;

    /// <summary>Whether a place can be written.</summary>
    public static bool Holds(LineLocation location) => location is { LineOffset: <= 0xffff, Discriminator: <= 0xffff };

    /// <inheritdoc cref="Position"/>
    public static LineLocation Location(uint position) => new(position >> 16, position & 0xffff);
}
