namespace Perforator.Branches;

/// <summary>One executable mapping of a file into a process.</summary>
/// <param name="ProcessId">The process (thread group) id; -1 for the kernel.</param>
/// <param name="Start">First byte.</param>
/// <param name="Length">Size in bytes.</param>
/// <param name="Offset">Where in the file the first byte lies.</param>
/// <param name="Path">The path as the process sees it (its mount namespace), or a pseudo name such as <c>[vdso]</c>.</param>
/// <param name="BuildId">The build id when the source knows it; empty otherwise.</param>
/// <param name="Time">When it was made, on the source's clock in nanoseconds; 0 when unknown or before recording began.</param>
public sealed record Mapping(
    int ProcessId, RuntimeAddress Start, ulong Length, FileOffset Offset, string Path, BuildId BuildId = default, ulong Time = 0)
{
    /// <summary>One past the last byte.</summary>
    public RuntimeAddress End => new(Start.Value + Length);

    /// <summary>What the kernel puts behind the path of a file that was deleted or replaced since it was mapped.</summary>
    private const string Deleted = " (deleted)";

    /// <summary>Whether the file was deleted or replaced since.</summary>
    public bool IsDeleted => Path.EndsWith(Deleted, StringComparison.Ordinal);

    /// <summary>The path at which the file lay when it was mapped.</summary>
    public string FilePath => IsDeleted ? Path[..^Deleted.Length] : Path;

    /// <summary>The process id of the kernel's own mappings.</summary>
    public const int KernelProcess = -1;

    /// <summary>
    /// Whether it is the kernel itself, by the names that perf has for it: <c>[kernel.kallsyms]_text</c> (with the symbol that lies at
    /// <see cref="Offset"/>), <c>[kernel.kcore]</c>, <c>/proc/kcore</c> and the paths of a vmlinux.
    /// </summary>
    public bool IsKernel => ProcessId == KernelProcess
        && (Path.StartsWith("[kernel", StringComparison.Ordinal) || Path == "/proc/kcore"
            || System.IO.Path.GetFileName(Path.AsSpan()).StartsWith("vmlinu"));

    /// <summary>The symbol that the name of the kernel's mapping ends in; empty when it names none.</summary>
    public string KernelSymbol => IsKernel && Path[0] == '[' ? Path[(Path.LastIndexOf(']') + 1)..] : "";

    /// <summary>
    /// The name of the kernel module that a path is of: <c>[nf_tables]</c>, or a file <c>nf-tables.ko</c>, which may be compressed or have
    /// its debug info alone. The kernel writes '_' where files have '-'. Null for any other path.
    /// </summary>
    public static string? KernelModuleOf(string path)
    {
        string name = System.IO.Path.GetFileName(path);
        if (path is ['[', .., ']'])
            return path[1..^1].Replace('-', '_');
        int end = name.IndexOf(".ko", StringComparison.Ordinal);
        return end > 0 && name[(end + 3)..] is "" or ".gz" or ".xz" or ".zst" or ".debug" ? name[..end].Replace('-', '_') : null;
    }

    /// <summary>The name that perf lists a build id under: that of the kernel's mapping has the symbol behind it.</summary>
    public string ListedPath =>
        Path.StartsWith("[kernel", StringComparison.Ordinal) && Path.LastIndexOf(']') is > 0 and int end ? Path[..(end + 1)] : Path;

    /// <summary>
    /// The file by the numbers of its file system, where the source knows them; else all zero. Paths may come to lead elsewhere.
    /// </summary>
    public MappedFile File { get; init; }

    /// <summary>Whether its pages are huge ones that were asked for as such (MAP_HUGETLB), which no file of a program has.</summary>
    public bool IsHugeTlb { get; init; }

    /// <summary>
    /// Whether it shows memory without a file, by the names that the kernel and perf have for it: <c>//anon</c>, <c>[anon:NAME]</c>,
    /// <c>/anon_hugepage (deleted)</c>, <c>/memfd:NAME (deleted)</c>, files of hugetlbfs, <c>[heap]</c> where it was grown over a program.
    /// </summary>
    public bool IsAnonymous => IsHugeTlb || Path is ['/' or '[', ..] &&
        (Path.StartsWith("//anon", StringComparison.Ordinal) || Path.StartsWith("[anon", StringComparison.Ordinal) || Path == "[heap]"
        || Path.StartsWith("/anon_hugepage", StringComparison.Ordinal) || Path.StartsWith("/memfd:", StringComparison.Ordinal)
        || Path.StartsWith("/dev/hugepages/", StringComparison.Ordinal) || Path.Contains("/libhugetlbfs.tmp.", StringComparison.Ordinal));
}

/// <summary>A file as the kernel knows it, whatever its path leads to by now.</summary>
/// <param name="Major">Of its file system's device.</param>
/// <param name="Minor">Of its file system's device.</param>
/// <param name="Inode">0 when it is not known.</param>
public readonly record struct MappedFile(uint Major, uint Minor, ulong Inode);
