using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Reads another process's memory with process_vm_readv(2), as far as it is there; nothing here can write, or wait for a page.
/// </summary>
internal static class TargetMemory
{
    /// <summary>Reads from a runtime address up to the first page that cannot be read or is not in memory.</summary>
    /// <returns>How many bytes were read; 0 when none could be.</returns>
    public static unsafe int Read(int processId, ulong address, Span<byte> buffer)
    {
        int there = 0;
        while (there < buffer.Length && PageTable.Has(processId, (address + (ulong)there) >> MemorySnapshot.PageShift))
            there += MemorySnapshot.PageSize - (int)((address + (ulong)there) & (MemorySnapshot.PageSize - 1));
        buffer = buffer[..Math.Min(there, buffer.Length)];
        fixed (byte* bytes = buffer)
        {
            IoVector local = new() { Base = (nint)bytes, Length = buffer.Length };
            IoVector remote = new() { Base = (nint)address, Length = buffer.Length };
            nint read = process_vm_readv(processId, &local, 1, &remote, 1, 0);
            return read > 0 ? (int)read : 0;
        }
    }
}
