namespace Perforator.Recording.Software;

/// <summary>Exponentially distributed numbers: intervals of a Poisson process, which cannot alias with anything periodic.</summary>
internal static class ExponentialRandom
{
    /// <summary>A number with mean 1.</summary>
    public static double Next() => -Math.Log(1 - Random.Shared.NextDouble());
}
