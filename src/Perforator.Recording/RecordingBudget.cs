namespace Perforator.Recording;

/// <summary>
/// What recording may take of the host, set by whoever measures what it takes, and read by the recorder from its own thread.
/// </summary>
public sealed class RecordingBudget
{
    private double share = 1;

    /// <summary>The share, above 0 and up to 1, of the moments at which a recorder would sample by itself that it does.</summary>
    public double Share
    {
        get => Volatile.Read(ref share);
        set => Volatile.Write(ref share, value);
    }

    /// <summary>The reading thread's CPU time as a share of all CPUs' time, for hardware records.</summary>
    public double CpuShare { get; init; } = 0.01;

    /// <summary>Bytes of decoded code that are kept, of all recorded processes together.</summary>
    public long CodeBytes { get; init; } = 40_000_000;
}
