using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Tells which pages of a process are in its memory (/proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst). To read another one
/// waits until it is there: for a disk, or for a program that provides it (userfaultfd(2), FUSE) and may need what a thread holds that
/// stands still meanwhile; and the process would see that it was asked for.
/// </summary>
internal static unsafe class PageTable
{
    /// <summary>The bit of an entry that says so.</summary>
    private const int Present = 63;

    private static readonly Lock Gate = new();

    /// <summary>False only where a kernel was built without (CONFIG_PROC_PAGE_MONITOR): there pages are waited for.</summary>
    private static readonly bool IsKnown = File.Exists("/proc/self/pagemap");

    /// <summary>Of the process that was asked about last, as questions come by the dozen.</summary>
    private static int file = -1, fileOf;

    /// <summary>Whether a page can be read without a wait.</summary>
    /// <param name="page">Its number.</param>
    public static bool Has(int processId, ulong page)
    {
        if (!IsKnown)
            return true;
        lock (Gate)
        {
            // One that executed another program, or has ended, has nothing left in the file that is open.
            return ((processId == fileOf && TryRead(page, out ulong entry)) || (Open(processId) && TryRead(page, out entry)))
                && entry >> Present != 0;
        }
    }

    private static bool Open(int processId)
    {
        if (file >= 0)
            _ = Close(file);
        file = Syscalls.Open($"/proc/{processId}/pagemap", O_RDONLY | O_CLOEXEC);
        fileOf = processId;
        return file >= 0;
    }

    private static bool TryRead(ulong page, out ulong entry)
    {
        ulong read;
        bool isRead = Read(file, &read, sizeof(ulong), (long)(page * sizeof(ulong))) == sizeof(ulong);
        entry = read;
        return isRead;
    }
}
