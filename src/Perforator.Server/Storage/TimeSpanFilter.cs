namespace Perforator.Server.Storage;

/// <summary>A span of time that selects profiles; either side may be open. A profile is selected when it overlaps the span.</summary>
public readonly record struct TimeSpanFilter(DateTimeOffset? Since, DateTimeOffset? Until)
{
    /// <summary>Selects every profile.</summary>
    public static readonly TimeSpanFilter All;
}

/// <summary>Time as databases keep it: microseconds since the Unix epoch.</summary>
internal static class UnixMicros
{
    public static long Of(DateTimeOffset time) => (time - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;

    public static long Of(TimeSpan span) => span.Ticks / TimeSpan.TicksPerMicrosecond;

    public static DateTimeOffset ToTime(long micros) => DateTimeOffset.UnixEpoch.AddTicks(micros * TimeSpan.TicksPerMicrosecond);

    public static DateOnly ToDay(long micros) => DateOnly.FromDateTime(ToTime(micros).UtcDateTime);
}
