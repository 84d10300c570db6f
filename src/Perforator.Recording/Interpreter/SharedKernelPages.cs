using Perforator.Recording.Processes;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// The pages that the kernel shares with every process for clock_gettime(2) without a system call ([vvar] of the vDSO). They are not
/// readable from outside, but this process has the same ones.
/// </summary>
internal sealed class SharedKernelPages
{
    public static readonly SharedKernelPages None = new(new Dictionary<string, ulong>());

    /// <summary>The kernel writes for less than a microsecond, some thousand times a second at most.</summary>
    private const int Tries = 10;

    private static readonly string[] Names = ["[vvar]", "[vvar_vclock]"];
    private static readonly Dictionary<string, ulong> Ours = Starts(ProcessMap.Load(Environment.ProcessId));

    private readonly Dictionary<string, ulong> theirs;

    /// <param name="maps">The target's mappings.</param>
    /// <param name="processId">The target; another time namespace's clock is not this process's.</param>
    public SharedKernelPages(IEnumerable<ProcessMap> maps, int processId) : this(HasOurTime(processId) ? Starts(maps) : [])
    {
    }

    private SharedKernelPages(Dictionary<string, ulong> theirs) => this.theirs = theirs;

    /// <summary>Copies a page. Only the first page of each mapping is always there; touching another could raise SIGBUS.</summary>
    public unsafe bool TryCopy(ulong page, Span<byte> copy)
    {
        foreach ((string name, ulong start) in theirs)
        {
            if (page != start || !Ours.TryGetValue(name, out ulong ours))
                continue;
            // An odd sequence number at the start means the kernel is just writing, or, for good, that the clock is a time namespace's: a
            // reader of the copy would wait for ever.
            for (int i = 0; i < Tries; i++)
            {
                new ReadOnlySpan<byte>((void*)ours, copy.Length).CopyTo(copy);
                if ((copy[0] & 1) == 0 || name != Names[0])
                    return true;
            }
            return false;
        }
        return false;
    }

    private static bool HasOurTime(int processId)
    {
        try
        {
            return new FileInfo($"/proc/{processId}/ns/time").LinkTarget == new FileInfo("/proc/self/ns/time").LinkTarget;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static Dictionary<string, ulong> Starts(IEnumerable<ProcessMap> maps) =>
        maps.Where(map => Names.Contains(map.Path)).ToDictionary(map => map.Path, map => map.Start.Value);
}
