namespace Perforator.Recording.Prerequisites;

/// <summary>One thing recording or compiling needs, as it was found by trying.</summary>
/// <param name="Name">What it is, in a few words.</param>
/// <param name="IsMet">Whether it is there; null for what is only good to know.</param>
/// <param name="Found">What was found.</param>
/// <param name="Remedy">The command or change that mends it; null when nothing is to be mended or can be.</param>
public sealed record Prerequisite(string Name, bool? IsMet, string Found, string? Remedy = null);
