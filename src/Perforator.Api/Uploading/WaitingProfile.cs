using System.Globalization;
using System.Security.Cryptography;
using Perforator.Branches;

namespace Perforator.Api.Uploading;

/// <summary>
/// A profile that waits to be sent, on the disk or in memory. Its name says when it ended, the SHA-256 of its bytes, and, if it is a sum,
/// which it is the sum of, so that a kill between writing a sum and deleting its parts counts nothing twice:
/// <c>20260301T101500.123456.HASH[.PART…].branches</c>. Names in ordinal order are profiles in order of time.
/// </summary>
internal sealed class WaitingProfile
{
    /// <summary>Hexadecimal digits of a part's hash in the name of a sum.</summary>
    private const int PartDigits = 12;

    private const string TimeFormat = "yyyyMMdd'T'HHmmss'.'ffffff";

    private WaitingProfile(string name, long bytes, byte[]? content)
    {
        Name = name;
        Bytes = bytes;
        Content = content;
    }

    public string Name { get; }

    public long Bytes { get; }

    /// <summary>What is in it, while it is in memory; null when it is in the spool.</summary>
    public byte[]? Content { get; set; }

    /// <summary>What was found in it; null until it has been looked into.</summary>
    public Details? Known { get; private set; }

    /// <summary>It may have reached the server, which tells a repeated upload by its content: it stays as it is.</summary>
    public bool IsFrozen { get; set; }

    /// <summary>The latest time in it.</summary>
    public DateTimeOffset End { get; private init; }

    /// <summary>What has to be known of a profile to send it.</summary>
    /// <param name="Samples">Branch stacks in it.</param>
    /// <param name="ToldLost">Branch stacks of others that it tells were dropped.</param>
    /// <param name="Span">How long it was recorded.</param>
    public sealed record Details(string Service, IReadOnlyList<BuildId> Builds, ulong Samples, ulong ToldLost, TimeSpan Span)
    {
        public static Details Of(BranchProfileSet set) =>
            new(set.Service ?? "", [.. set.Profiles.Keys], set.TotalSamples, set.Losses[ProfileOutbox.Dropped], set.End - set.Start);
    }

    /// <summary>A profile that has just been recorded.</summary>
    /// <param name="parts">What it is the sum of, if it is one.</param>
    public static WaitingProfile Of(BranchProfileSet set, params IEnumerable<WaitingProfile> parts)
    {
        byte[] content = BranchProfileCodec.Encode(set);
        string sum = string.Concat(parts.Select(static part => $".{part.Hash[..PartDigits]}"));
        string name =
            $"{set.End.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture)}.{HashOf(content)}{sum}{BranchProfileCodec.FileExtension}";
        return new(name, content.Length, content) { Known = Details.Of(set), End = set.End };
    }

    /// <summary>A file of the spool; null when no agent has written it.</summary>
    public static WaitingProfile? Find(string name, long bytes)
    {
        string[] parts = name.Split('.');
        return parts.Length >= 4 && parts[2].Length == 2 * SHA256.HashSizeInBytes
            && DateTimeOffset.TryParseExact(
                $"{parts[0]}.{parts[1]}", TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset end)
            ? new(name, bytes, null) { End = end, IsFrozen = true }
            : null;
    }

    /// <summary>Whether this is a part of that sum.</summary>
    public bool IsPartOf(WaitingProfile sum) => sum.Name.Contains($".{Hash[..PartDigits]}.", StringComparison.Ordinal);

    /// <summary>Whether the bytes are those that were written.</summary>
    public bool IsWhole(byte[] content) => HashOf(content) == Hash;

    /// <summary>Looks into it.</summary>
    /// <exception cref="Bytes.MalformedInputException">It is none of this version's.</exception>
    public Details LookInto(byte[] content) => Known ??= Details.Of(BranchProfileCodec.Decode(content));

    private string Hash => Name.Split('.')[2];

    private static string HashOf(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));
}
