using System.Runtime.Intrinsics.X86;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Takes x87, vector and opmask registers out of an XSAVE area in standard format, as PTRACE_GETREGSET gives it for NT_X86_XSTATE
/// (Intel SDM volume 1, chapter 13). Components are where CPUID leaf 0xD says.
/// </summary>
internal static unsafe class ExtendedState
{
    /// <summary>Enough for every component up to AVX-512; AMX tiles behind them are not wanted.</summary>
    public const int BufferSize = 4096;

    private const int MxcsrOffset = 24;
    private const int XmmOffset = 160;
    private const int FeaturesOffset = 512;
    public const uint MxcsrExceptionMasks = 0x1F80;
    /// <summary>All x87 exceptions masked, in FCW.</summary>
    public const ushort ControlWordExceptionMasks = 0x3F;

    private const int Avx = 2, Opmask = 5, ZmmHi256 = 6, Hi16Zmm = 7;

    private static readonly int[] Offsets = [.. Enumerable.Range(0, 8).Select(ComponentOffset)];

    /// <summary>x87 and MXCSR as after FNINIT: what the vector state of a fresh process is.</summary>
    public static void LoadDefaults(byte* state)
    {
        *(ushort*)(state + CpuState.X87) = 0x37F;
        *(uint*)(state + CpuState.X87 + MxcsrOffset) = MxcsrExceptionMasks;
        *(uint*)(state + CpuState.Mxcsr) = MxcsrExceptionMasks;
    }

    /// <summary>Loads the registers; exceptions are masked, since instructions are replayed in this process.</summary>
    public static void Load(byte* state, ReadOnlySpan<byte> area)
    {
        if (area.Length < FeaturesOffset + 64)
            return;
        Span<byte> x87 = new(state + CpuState.X87, 512);
        area[..XmmOffset].CopyTo(x87);
        *(ushort*)(state + CpuState.X87) |= ControlWordExceptionMasks;
        *(uint*)(state + CpuState.X87 + MxcsrOffset) |= MxcsrExceptionMasks;
        *(uint*)(state + CpuState.Mxcsr) = *(uint*)(state + CpuState.X87 + MxcsrOffset);

        Span<byte> vectors = new(state + CpuState.Vectors, 32 * 64);
        for (int i = 0; i < 16; i++)
        {
            Span<byte> vector = vectors.Slice(i * 64, 64);
            area.Slice(XmmOffset + (i * 16), 16).CopyTo(vector);
            Copy(area, Avx, i * 16, vector.Slice(16, 16));
            Copy(area, ZmmHi256, i * 32, vector.Slice(32, 32));
            Copy(area, Hi16Zmm, i * 64, vectors.Slice((16 + i) * 64, 64));
        }
        Copy(area, Opmask, 0, new Span<byte>(state + CpuState.Opmasks, 64));
    }

    /// <summary>Copies a part of a component; zeroes when the area does not hold it (its initial state).</summary>
    private static void Copy(ReadOnlySpan<byte> area, int component, int offset, Span<byte> to)
    {
        int from = Offsets[component] + offset;
        bool present = (BitConverter.ToUInt64(area[FeaturesOffset..]) & (1UL << component)) != 0;
        if (present && Offsets[component] > 0 && from + to.Length <= area.Length)
            area.Slice(from, to.Length).CopyTo(to);
        else
            to.Clear();
    }

    private static int ComponentOffset(int component) =>
        component >= Avx && X86Base.IsSupported && X86Base.CpuId(0, 0).Eax >= 0xD ? X86Base.CpuId(0xD, component).Ebx : 0;
}
