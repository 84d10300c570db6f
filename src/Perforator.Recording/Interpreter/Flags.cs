using System.Numerics;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// RFLAGS kept as the values they derive from, since most instructions set flags that nobody reads. Results are kept shifted
/// left so that the operand's sign bit is bit 63.
/// </summary>
internal struct Flags
{
    public const ulong CF = 1, PF = 4, AF = 0x10, ZF = 0x40, SF = 0x80, DF = 0x400, OF = 0x800;

    /// <summary>The status flags, all that an arithmetic instruction can change.</summary>
    public const ulong Status = CF | PF | AF | ZF | SF | OF;

    /// <summary>ZF is set when this is 0.</summary>
    public ulong ZeroSource;

    /// <summary>SF is bit 63.</summary>
    public ulong SignSource;

    /// <summary>PF is set when the low byte has an even number of ones.</summary>
    public ulong ParitySource;

    /// <summary>The carries out of each bit: CF is bit 63, OF is bit 63 xor bit 62.</summary>
    public ulong Carries;

    /// <summary>AF is bit 4.</summary>
    public ulong AdjustSource;

    /// <summary>All other bits as they were loaded (IF, DF, …).</summary>
    public ulong Others;

    public readonly bool Carry => (long)Carries < 0;
    public readonly bool Overflow => (long)(Carries ^ (Carries << 1)) < 0;
    public readonly bool Zero => ZeroSource == 0;
    public readonly bool Sign => (long)SignSource < 0;
    public readonly bool Parity => (BitOperations.PopCount((byte)ParitySource) & 1) == 0;
    public readonly bool Less => (long)(SignSource ^ Carries ^ (Carries << 1)) < 0;
    public readonly bool Backwards => (Others & DF) != 0;

    /// <summary>The architectural register.</summary>
    public readonly ulong Value
    {
        get
        {
            ulong value = Others | (AdjustSource & AF);
            if (Carry)
                value |= CF;
            if (Parity)
                value |= PF;
            if (Zero)
                value |= ZF;
            if (Sign)
                value |= SF;
            if (Overflow)
                value |= OF;
            return value;
        }
    }

    /// <summary>Loads all bits.</summary>
    public void Set(ulong value)
    {
        Others = value & ~Status;
        SetStatus(value);
    }

    /// <summary>Loads the status flags and leaves the others.</summary>
    public void SetStatus(ulong value)
    {
        ZeroSource = (~value & ZF) >> 6;
        SignSource = (value & SF) << 56;
        ParitySource = (~value & PF) >> 2;
        AdjustSource = value;
        SetCarryAndOverflow((value & CF) != 0, (value & OF) != 0);
    }

    public void SetCarryAndOverflow(bool carry, bool overflow) =>
        Carries = (carry ? 1UL << 63 : 0) | (carry != overflow ? 1UL << 62 : 0);

    public void SetCarry(bool carry) => SetCarryAndOverflow(carry, Overflow);

    /// <summary>ZF, SF and PF of a result.</summary>
    /// <param name="result">Zero-extended.</param>
    /// <param name="shift">64 less the operand size in bits.</param>
    public void SetResult(ulong result, int shift)
    {
        ulong aligned = result << shift;
        ZeroSource = aligned;
        SignSource = aligned;
        ParitySource = result;
    }

    /// <summary>All flags of <c>a + b (+ CF)</c>.</summary>
    public void SetAdd(ulong a, ulong b, ulong result, int shift)
    {
        SetResult(result, shift);
        Carries = ((a & b) | ((a | b) & ~result)) << shift;
        AdjustSource = a ^ b ^ result;
    }

    /// <summary>All flags of <c>a - b (- CF)</c>; the borrows stand for the carries.</summary>
    public void SetSubtract(ulong a, ulong b, ulong result, int shift)
    {
        SetResult(result, shift);
        Carries = ((~a & b) | (~(a ^ b) & result)) << shift;
        AdjustSource = a ^ b ^ result;
    }

    /// <summary>All flags of a bitwise operation: CF and OF clear, AF (undefined) clear.</summary>
    public void SetLogic(ulong result, int shift)
    {
        SetResult(result, shift);
        Carries = 0;
        AdjustSource = 0;
    }
}
