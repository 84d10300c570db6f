using System.Diagnostics;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Where the recorder runs. Mostly the kernel finds a CPU that is idle; but where more threads want to run than there are CPUs, it is woken on the one whose clock struck, takes it from the very thread
/// that is to be met, and that gets it back when all others have had their turns. Then the recorder sits on one CPU for a while, chosen at random, and takes no moments from there.
/// </summary>
internal sealed class Seat(IReadOnlyList<int> allowed)
{
    /// <summary>A crowd is taken to last as long, and a seat is kept as long.</summary>
    private static readonly TimeSpan CrowdLasts = TimeSpan.FromSeconds(2), Sitting = TimeSpan.FromMilliseconds(100);

    private long crowd, chosen;

    /// <summary>The CPU whose moments are left out; null where there is no crowd.</summary>
    public int? Cpu { get; private set; }

    /// <summary>How much longer intervals between moments are for those that are left out.</summary>
    public double Thinning => Cpu is null ? 1 : allowed.Count / (allowed.Count - 1.0);

    /// <summary>The calling OS thread has no seat yet.</summary>
    public void Enter() => Cpu = null;

    /// <summary>Chooses where to be next.</summary>
    /// <param name="isCrowded">Whether there are too many since it was last asked.</param>
    public void Choose(bool isCrowded)
    {
        long now = Stopwatch.GetTimestamp();
        if (isCrowded)
            crowd = now;
        bool sits = crowd != 0 && allowed.Count > 1 && Stopwatch.GetElapsedTime(crowd, now) < CrowdLasts;
        if (!sits && Cpu is not null)
        {
            RunOn(allowed);
            Cpu = null;
        }
        else if (sits && (Cpu is null || Stopwatch.GetElapsedTime(chosen, now) >= Sitting))
        {
            chosen = now;
            Cpu = allowed[Random.Shared.Next(allowed.Count)];
            RunOn([Cpu.Value]);
        }
    }
}
