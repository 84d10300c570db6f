using System.Buffers.Text;
using System.Globalization;
using System.Numerics;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// The signal that a thread is met with: one that changes nothing should it ever reach the program, as the recorder was killed between
/// sending and swallowing it. SIGURG and SIGWINCH are ignored unless a program catches them; else one that the program ignores itself.
/// </summary>
internal static class QuietSignal
{
    /// <summary>
    /// Signals that may stand in when a program ignores them: none that the kernel raises for what a thread does, nor those of job control,
    /// which act when sent.
    /// </summary>
    private const ulong StandIns =
        (1UL << 0) | (1UL << 1) | (1UL << 2) | (1UL << 9) | (1UL << 11) | (1UL << 12) | (1UL << 13) | (1UL << 14) | (1UL << 25)
            | (1UL << 26) | (1UL << 28);

    /// <summary>The signal for a thread that runs.</summary>
    /// <param name="status">/proc/PID/task/TID/status.</param>
    /// <returns>0 when it blocks all that may be used, or runs as a user whom this one may send no signal.</returns>
    public static int Of(ReadOnlySpan<byte> status)
    {
        uint user = geteuid();
        if (user != 0 && !MaySignal(Field(status, "Uid:"u8), user))
            return 0;
        return Choose(Mask(status, "SigBlk:"u8), Mask(status, "SigIgn:"u8), Mask(status, "SigCgt:"u8));
    }

    /// <summary>By the masks of proc_pid_status(5): bit 0 is signal 1.</summary>
    internal static int Choose(ulong blocked, ulong ignored, ulong caught)
    {
        foreach (int signal in (ReadOnlySpan<int>)[SIGURG, SIGWINCH])
            if (((blocked | caught) >> (signal - 1) & 1) == 0)
                return signal;
        if ((ignored & ~blocked & StandIns) is not 0 and ulong standIns)
            return BitOperations.TrailingZeroCount(standIns) + 1;
        // Who catches both expects strays of the first (Go's runtime sends them to itself); it gets none, but from a recorder killed within
        // these microseconds.
        return (blocked >> (SIGURG - 1) & 1) == 0 ? SIGURG : 0;
    }

    /// <summary>The kernel asks for the same user, real or saved, whatever the capabilities (fcntl(2), F_SETOWN).</summary>
    private static bool MaySignal(ReadOnlySpan<byte> users, uint user)
    {
        for (int i =
            0; i < 3 && Utf8Parser.TryParse(users, out uint id, out int length); i++, users = users[Math.Min(length + 1, users.Length)..])
            if (i != 1 && id == user)
                return true;
        return false;
    }

    private static ulong Mask(ReadOnlySpan<byte> status, ReadOnlySpan<byte> name)
    {
        ReadOnlySpan<byte> field = Field(status, name);
        int end = field.IndexOf((byte)'\n');
        return end > 0 && ulong.TryParse(field[..end], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong mask)
            ? mask : ulong.MaxValue;
    }

    private static ReadOnlySpan<byte> Field(ReadOnlySpan<byte> status, ReadOnlySpan<byte> name)
    {
        int at = status.IndexOf(name);
        return at < 0 ? [] : status[(at + name.Length)..].TrimStart((byte)'\t');
    }
}
