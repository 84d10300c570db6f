using System.Runtime.InteropServices;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Where each register of the interpreted thread lies, in bytes from the start of one block of native memory that handlers and native code
/// share.
/// </summary>
internal static class CpuState
{
    /// <summary>RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15 in encoding order, 8 bytes each.</summary>
    public const int General = 0;
    public const int Rax = 0, Rcx = 8, Rdx = 16, Rsp = 32, Rsi = 48, Rdi = 56;

    public const int FsBase = 136, GsBase = 144;

    /// <summary>RFLAGS as native code left them, of which only the status flags are the thread's.</summary>
    public const int StatusFlags = 152;

    /// <summary>MXCSR, its exceptions masked.</summary>
    public const int Mxcsr = 160;
    public const int HostMxcsr = 164;

    /// <summary>
    /// Where native code is to go on, 0 for its beginning, or, alone, the copy of its memory operand; where that operand is; whether the
    /// jump behind the code is taken.
    /// </summary>
    public const int Resume = 168, Fault = 176, Taken = 184;

    /// <summary>Opmasks k0 … k7, 8 bytes each.</summary>
    public const int Opmasks = 192;

    /// <summary>ZMM0 … ZMM31, 64 bytes each; YMM and XMM are their low parts.</summary>
    public const int Vectors = 256;

    /// <summary>x87 and MMX state as FXSAVE lays it out, 512 bytes.</summary>
    public const int X87 = Vectors + (32 * 64);

    /// <summary>The snapshot's lookaside, by the low 8 bits of a page's number: the page's address and its copy's.</summary>
    public const int PageAddresses = X87 + 512, PageCopies = PageAddresses + (8 * MemorySnapshot.LookasideSlots);

    /// <summary>Like <see cref="PageAddresses"/>, of the pages that may be written to; <see cref="PageCopies"/> is of both.</summary>
    public const int WritableAddresses = PageCopies + (8 * MemorySnapshot.LookasideSlots);

    public const int Size = WritableAddresses + (8 * MemorySnapshot.LookasideSlots);

    /// <summary>Zeroed memory aligned for every vector move; freed with <see cref="Free"/>.</summary>
    public static unsafe byte* Allocate()
    {
        byte* state = (byte*)NativeMemory.AlignedAlloc(Size, 64);
        NativeMemory.Clear(state, Size);
        return state;
    }

    public static unsafe void Free(byte* state) => NativeMemory.AlignedFree(state);
}
