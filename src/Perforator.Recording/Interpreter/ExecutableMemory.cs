using System.Runtime.InteropServices;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Memory for generated code, in chunks that are handed out and given back: written through one mapping and executed through another, so
/// that no page is ever both writable and executable.
/// </summary>
internal sealed unsafe class ExecutableMemory : IDisposable
{
    /// <summary>Bytes handed out at a time.</summary>
    public const int ChunkSize = 1 << 16;

    private readonly byte* writable;
    private readonly byte* executable;
    private readonly Stack<int> free = [];
    private readonly int size;
    private int used;

    /// <param name="size">Bytes of address space: only what is written to takes memory.</param>
    /// <exception cref="UserErrorException">The kernel's policy allows no generated code.</exception>
    public ExecutableMemory(int size)
    {
        this.size = size;
        int file = memfd_create("perforator-code", MFD_CLOEXEC);
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

    /// <summary>Takes a chunk, the one that was given back last if there is one.</summary>
    /// <returns>Where in the memory it begins; negative when there is none left.</returns>
    public int Take() => free.TryPop(out int chunk) ? chunk : used == size ? -1 : (used += ChunkSize) - ChunkSize;

    /// <summary>Gives a chunk back. The code in it must not be called any more.</summary>
    public void GiveBack(int chunk) => free.Push(chunk);

    /// <summary>Writes code.</summary>
    /// <param name="place">Within a chunk.</param>
    /// <returns>Where it can be called.</returns>
    public nint Write(int place, ReadOnlySpan<byte> code)
    {
        code.CopyTo(new Span<byte>(writable + place, code.Length));
        return (nint)(executable + place);
    }

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
