using System.Buffers.Binary;
using System.Buffers.Text;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Perforator.Recording;

/// <summary>Reading /proc: .NET tells no inodes, and makes texts of all names.</summary>
internal static partial class Syscalls
{
    /// <summary>
    /// getdents64(2). Entries of a folder whose names are numbers, such as the processes of /proc, each with its inode; none where it
    /// cannot be read.
    /// </summary>
    public static unsafe List<(int Number, ulong Inode)> ListNumbered(string folder)
    {
        // struct linux_dirent64: inode, offset, length of the entry, type, name and 0.
        const int Length = 16, Name = 19;
        List<(int, ulong)> entries = [];
        using SafeFileHandle file = new(Open(folder, O_DIRECTORY | O_CLOEXEC), ownsHandle: true);
        byte[] buffer = new byte[32 * 1024];
        while (!file.IsInvalid)
        {
            int read;
            fixed (byte* first = buffer)
                read = (int)getdents64((int)file.DangerousGetHandle(), first, (nuint)buffer.Length);
            if (read <= 0)
                break;
            for (ReadOnlySpan<byte> rest = buffer.AsSpan(0, read); rest.Length > Name;)
            {
                ReadOnlySpan<byte> entry = rest[..BinaryPrimitives.ReadUInt16LittleEndian(rest[Length..])], name = entry[Name..];
                rest = rest[entry.Length..];
                name = name[..name.IndexOf((byte)0)];
                if (Utf8Parser.TryParse(name, out int number, out int parsed) && parsed == name.Length
                    && name[0] is not ((byte)'-' or (byte)'+'))
                    entries.Add((number, BinaryPrimitives.ReadUInt64LittleEndian(entry)));
            }
        }
        return entries;
    }

    /// <summary>
    /// The beginning of a small file that the kernel makes: .NET looks at it, locks it, and throws where its process has just ended, for
    /// ten times the price.
    /// </summary>
    /// <returns>Bytes read; -1 where it cannot be read.</returns>
    public static unsafe int ReadFile(string path, Span<byte> buffer)
    {
        using SafeFileHandle file = new(Open(path, O_CLOEXEC), ownsHandle: true);
        if (file.IsInvalid)
            return -1;
        fixed (byte* first = buffer)
            return (int)Read((int)file.DangerousGetHandle(), first, (nuint)buffer.Length);
    }

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint getdents64(int folder, byte* entries, nuint length);
}
