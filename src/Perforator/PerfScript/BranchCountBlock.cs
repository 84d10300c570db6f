using System.Globalization;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// The counts of one binary in the text of AutoFDO, simpleperf or llvm-profgen, as they stand, until it is known what their addresses are.
/// </summary>
/// <remarks>
/// AutoFDO and simpleperf write file offsets, in three parts (ranges, addresses, branches); llvm-profgen --skip-symbolization writes
/// addresses less the one that the binary is linked to begin at, in two (ranges, branches). Others write such text in addresses of the
/// binary. What the form says holds unless the places are no code by it and are by another meaning.
/// </remarks>
internal sealed class BranchCountBlock
{
    private readonly PairCounts ranges = new(), branches = new(), addresses = new();
    private int parts;

    /// <summary>From the comments behind it; empty when there was none.</summary>
    public BuildId BuildId { get; set; }

    /// <summary>From the comments behind it; empty when there was none.</summary>
    public string Path { get; set; } = "";

    /// <summary>Whether comments behind it said whose it is, so that the next count begins another.</summary>
    public bool IsNamed { get; set; }

    public bool IsEmpty => ranges.Count == 0 && branches.Count == 0 && addresses.Count == 0;

    /// <summary>How many branches it tells.</summary>
    public ulong Branches => Math.Max(branches.Total, Math.Max(ranges.Total, addresses.Total));

    /// <summary>The number of lines of a part was read.</summary>
    public void BeginPart() => parts++;

    /// <summary>Whether text is <c>address</c>, <c>from-to</c> or <c>from->to</c>.</summary>
    public static bool IsPlace(ReadOnlySpan<char> text) => TrySplit(text, out _, out _, out _);

    /// <summary>Adds a count; false when it is none.</summary>
    public bool Add(ReadOnlySpan<char> text)
    {
        int colon = text.LastIndexOf(':');
        if (!TrySplit(text[..colon], out ulong first, out ulong second, out bool? isBranch)
            || !ulong.TryParse(text[(colon + 1)..], NumberStyles.None, null, out ulong count))
            return false;
        (isBranch switch { true => branches, false => ranges, null => addresses }).Add(new(first), new(second), count);
        return true;
    }

    /// <summary>Adds all to the profile of the binary it is of, and says how addresses were understood.</summary>
    public string? AddTo(BranchProfile profile, Module module)
    {
        (Meaning meaning, string name) = Choose(module);
        bool differs = false;
        foreach (PairCount pair in branches.Sorted())
        {
            BinaryAddress from = Convert(
                pair.First.Value, meaning, module, ref differs), to = Convert(pair.Second.Value, meaning, module, ref differs);
            if (from.IsExternal && to.IsExternal)
            {
                profile.Losses.Add(BranchAggregator.ExternalBranch, pair.Count);
                continue;
            }
            profile.AddBranch(from, to, pair.Count);
            profile.BranchEntries = PairCounts.Saturating(profile.BranchEntries, pair.Count);
        }
        foreach (PairCount pair in ranges.Sorted())
            BranchCountText.Add(
                profile, Convert(pair.First.Value, meaning, module, ref differs).Value,
                Convert(pair.Second.Value, meaning, module, ref differs).Value, pair.Count);
        foreach (PairCount pair in addresses.Sorted())
            profile.Addresses.Add(Convert(pair.First.Value, meaning, module, ref differs), default, pair.Count);
        return differs ? $"counts of {module.Path} are in {name}" : null;
    }

    private enum Meaning { FileOffset, Address, FromBase }

    private (Meaning, string) Choose(Module module)
    {
        (Meaning Meaning, string Name)[] meanings =
        [
            (Meaning.FileOffset, "file offsets"), (Meaning.Address, "addresses of the binary"),
            (Meaning.FromBase, "addresses less the binary's first"),
        ];
        if (parts == 2)
            Array.Reverse(meanings);
        ulong[] places = new ulong[meanings.Length];
        foreach (PairCount pair in ranges.Sorted().Concat(addresses.Sorted()).Concat(branches.Sorted()))
            for (int i = 0; i < meanings.Length; i++)
                if (pair.First.Value != 0 && TryConvert(pair.First.Value, meanings[i].Meaning, module, out _))
                    places[i]++;
        // A form that one part in two of places speaks against is not the one.
        int best = places.IndexOf(places.Max());
        return 2 * places[0] >= places[best] && places[0] > 0 ? meanings[0] : meanings[best];
    }

    private static BinaryAddress Convert(ulong number, Meaning meaning, Module module, ref bool differs)
    {
        if (number == 0 || !TryConvert(number, meaning, module, out ulong address))
            return meaning == Meaning.Address && number != 0 ? new(number) : BinaryAddress.External;
        differs |= address != number;
        return new(address);
    }

    private static bool TryConvert(ulong number, Meaning meaning, Module module, out ulong address)
    {
        BinaryAddress? code = meaning switch
        {
            Meaning.FileOffset => module.CodeAt(new FileOffset(number)),
            Meaning.FromBase => new(unchecked(number + module.PreferredBase.Value)),
            _ => new(number),
        };
        address = code?.Value ?? 0;
        return code is { } place && module.IsCode(place);
    }

    /// <param name="isBranch">True for <c>from->to</c>, false for <c>from-to</c>, null for an address alone.</param>
    private static bool TrySplit(ReadOnlySpan<char> text, out ulong first, out ulong second, out bool? isBranch)
    {
        second = 0;
        int dash = text.IndexOf('-');
        isBranch = dash < 0 ? null : text[dash..].StartsWith("->", StringComparison.Ordinal);
        if (dash < 0)
            return BranchCountText.TryParseAddress(text, out first);
        return BranchCountText.TryParseAddress(text[..dash], out first) & BranchCountText.TryParseAddress(
            text[(dash + (isBranch == true ? 2 : 1))..], out second);
    }
}
