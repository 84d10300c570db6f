using Microsoft.Win32.SafeHandles;

namespace Perforator.Recording.Processes;

/// <summary>A file told apart from what takes its path later, and from itself with other contents (statx(2)).</summary>
/// <param name="Size">Bytes.</param>
/// <param name="IsRegular">Whether it is a file, and not a pipe, on which a reader may wait for ever.</param>
public readonly record struct FileIdentity(
    uint Major, uint Minor, ulong Inode, ulong Size, long ChangeSeconds, uint ChangeNanoseconds, bool IsRegular)
{
    /// <summary>What a path leads to; null where that cannot be told.</summary>
    public static FileIdentity? Of(string path) => Of(Syscalls.AT_FDCWD, path, 0);

    /// <summary>An open file.</summary>
    internal static FileIdentity? Of(SafeFileHandle file) => Of((int)file.DangerousGetHandle(), "", Syscalls.AT_EMPTY_PATH);

    private static FileIdentity? Of(int folder, string path, int flags) =>
        Syscalls.Statx(folder, path, flags, Syscalls.STATX_BASIC_STATS, out Syscalls.FileStatus s) == 0
            ? new(s.DeviceMajor, s.DeviceMinor, s.Inode, s.Size, s.ChangeSeconds, s.ChangeNanoseconds, s.IsRegular) : null;
}
