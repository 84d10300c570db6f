using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Memory for generated code: written through one mapping and executed through another, so that no page is ever both writable and
/// executable.
/// </summary>
internal sealed unsafe class ExecutableMemory : IDisposable
{
    private readonly byte* writable;
    private readonly byte* executable;
    private readonly int size;
    private int used;

    /// <exception cref="UserErrorException">The kernel's policy allows no generated code.</exception>
    public ExecutableMemory(int size)
    {
        this.size = size;
        int file = memfd_create("perforator-replay", MFD_CLOEXEC);
        try
        {
            if (file < 0 || ftruncate(file, size) != 0)
                throw Refused();
            writable = Map(file, PROT_READ | PROT_WRITE);
            executable = Map(file, PROT_READ | PROT_EXEC);
        }
        finally
        {
            if (file >= 0)
                _ = Close(file);
        }
    }

    /// <summary>Where the next code will be executed.</summary>
    public ulong NextAddress => (ulong)executable + (ulong)used;

    /// <summary>Room left, in bytes.</summary>
    public int Free => size - used;

    /// <summary>Adds code that was assembled for <see cref="NextAddress"/>.</summary>
    /// <returns>Where it can be called.</returns>
    public nint Add(ReadOnlySpan<byte> code)
    {
        code.CopyTo(new Span<byte>(writable + used, size - used));
        nint address = (nint)(executable + used);
        used = (used + code.Length + 15) & ~15;
        return address;
    }

    /// <summary>Forgets all code, which must not be called any more.</summary>
    public void Clear() => used = 0;

    public void Dispose()
    {
        _ = Munmap((nint)writable, (nuint)size);
        _ = Munmap((nint)executable, (nuint)size);
    }

    private byte* Map(int file, int protection)
    {
        nint address = Mmap(0, (nuint)size, protection, MAP_SHARED, file, 0);
        return address == -1 ? throw Refused() : (byte*)address;
    }

    private static UserErrorException Refused() =>
        new($"the software recorder may not make executable memory here ({Marshal.GetLastPInvokeErrorMessage()}): allow memfd_create and executable mappings for it (vm.memfd_noexec, SELinux execmem)");
}
