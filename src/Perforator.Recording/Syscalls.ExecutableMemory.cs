using System.Runtime.InteropServices;

namespace Perforator.Recording;

/// <summary>memfd_create(2), for generated code.</summary>
internal static partial class Syscalls
{
    public const int PROT_EXEC = 4;
    public const uint MFD_CLOEXEC = 1;

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int memfd_create(string name, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int ftruncate(int file, long length);
}
