namespace Perforator.Server;

/// <summary>What a server is started with.</summary>
/// <param name="DataFolder">Where everything is kept; created when missing. One server at a time may use it.</param>
/// <param name="Listen">Address to bind, such as <c>http://127.0.0.1:7733</c>; port 0 takes a free one.</param>
public sealed record ServerSettings(string DataFolder, Uri Listen)
{
    /// <summary>Where a server listens, and where clients look for it, unless told otherwise.</summary>
    public static readonly Uri DefaultAddress = new("http://127.0.0.1:7733");

    /// <summary>The largest profile upload accepted, in bytes as sent.</summary>
    public long MaxProfileBytes { get; init; } = 64L << 20;

    /// <summary>The largest profile accepted, in bytes after decompression.</summary>
    public int MaxProfileMessageBytes { get; init; } = 256 << 20;

    /// <summary>The largest binary accepted, in bytes.</summary>
    public long MaxBinaryBytes { get; init; } = 8L << 30;
}
