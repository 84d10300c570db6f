using Perforator.Elf;

namespace Perforator.Branches;

/// <content>
/// Executable memory without a file. Programs that move their code onto huge pages (hugify of BOLT, Chromium and Node, libhugetlbfs) copy
/// it into such memory and put that where the code was: it is still the binary's code. Other memory of this kind is code of a JIT.
/// </content>
internal sealed partial class AddressSpace
{
    private const ulong Page = 4 << 10, HugePage = 2 << 20;

    /// <summary>
    /// Maps memory without a file. It is a binary's code where it was mapped over this, whole huge pages of it, which may reach beyond its
    /// ends; and where the recording began later and only shows what is left of the binary's own mappings, if these go on
    /// just before or behind it and the binary has code for the place between.
    /// </summary>
    public void MapAnonymous(ulong start, ulong end)
    {
        if (end <= start || IsCodeOfOne(start, end) || IsCodeOnWholeHugePages(start, end))
            return;
        int before = FirstEndingAfter(start) - 1;
        Region? left = before >= 0 && regions[before].End == start ? regions[before] : null;
        if (left?.Tally is not null && HasCode(left, start, end))
        {
            Map(new Region(start, end, left.Tally, left.Bias) { Module = left.Module });
            return;
        }
        Map(new Region(start, end, null, 0) { IsAnonymous = true });
        if (before + 1 < regions.Count && regions.Find(region => region.Start == end) is { Tally: not null })
            TakeAnonymousBefore(end);
    }

    /// <summary>A binary was mapped: memory without a file that ends where this begins may be the code before it.</summary>
    private void TakeAnonymousBefore(ulong start)
    {
        int at = FirstEndingAfter(start);
        Region mapped = regions[at];
        for (at--; at >= 0 && regions[at] is { IsAnonymous: true } anonymous && anonymous.End == mapped.Start
            && HasCode(mapped, anonymous.Start, anonymous.End); at--)
            regions[at] = mapped = new Region(anonymous.Start, anonymous.End, mapped.Tally, mapped.Bias) { Module = mapped.Module };
    }

    /// <summary>Whether a range lies wholly in the code of one binary of interest.</summary>
    private bool IsCodeOfOne(ulong start, ulong end)
    {
        int at = FirstEndingAfter(start);
        if (at == regions.Count || regions[at].Tally is not { } tally)
            return false;
        for (ulong covered = start; at < regions.Count && regions[at].Start <= covered && regions[at].Tally == tally; at++)
        {
            covered = regions[at].End;
            if (covered >= end)
                return true;
        }
        return false;
    }

    /// <summary>Whether a range of huge pages is the smallest one that holds a part of one binary's code.</summary>
    private bool IsCodeOnWholeHugePages(ulong start, ulong end)
    {
        if (start % HugePage != 0 || end % HugePage != 0)
            return false;
        List<Region> code = regions.FindAll(region => region.Tally is not null && region.Start < end && region.End > start);
        if (code.Count == 0)
            return false;
        (ulong first, ulong last) = (Math.Max(start, code[0].Start), Math.Min(end, code[^1].End));
        return first - start < HugePage && end - last < HugePage && IsCodeOfOne(first, last);
    }

    /// <summary>Whether the binary of a region has code where it would be loaded to a range, but for what a page holds beyond it.</summary>
    private static bool HasCode(Region mapped, ulong start, ulong end)
    {
        ulong page = start % HugePage == 0 && end % HugePage == 0 ? HugePage : Page;
        (ulong first, ulong last) = unchecked((start - mapped.Bias, end - mapped.Bias));
        foreach (LoadSegment segment in mapped.Module?.Segments ?? [])
            if (segment.IsExecutable && first < last && first >= segment.Address.Value / page * page
                && last - segment.Address.Value <= segment.MemorySize + (page - 1))
                return true;
        return false;
    }
}
