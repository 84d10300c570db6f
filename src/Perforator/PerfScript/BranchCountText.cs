using System.Globalization;
using System.Text;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// Text that holds counts instead of samples: BOLT's pre-aggregated profiles (a letter a line), AutoFDO's and simpleperf's text counts
/// and llvm-profgen's unsymbolized profiles (fall-through ranges, addresses and branches, each part after its number of lines).
/// </summary>
/// <remarks>
/// BOLT, DataAggregator.h: <c>E event</c>, <c>S address count</c>, <c>B from to count mispredicted</c>, <c>F from to count</c> and
/// <c>f</c>, <c>r</c> (fall-throughs, these two of a call's or return's target), <c>T from to end count</c> and <c>R</c> (a branch and the
/// fall-through behind it, of all ones where there is none). A location may be <c>build-id:address</c>. Addresses are the binary's.
/// AutoFDO, sample_reader.cc: <c>from-to:count</c>, <c>address:count</c>, <c>from->to:count</c>; see <see cref="BranchCountBlock"/> for
/// what these addresses are. All addresses are hexadecimal.
/// </remarks>
public sealed class BranchCountText
{
    /// <summary>A line of neither form. Counted by the branches that it tells, where that can be seen, else as one.</summary>
    public const string UnknownLine = "branches in lines of counts that are not understood";

    /// <summary>Counts of a binary that is not of interest.</summary>
    public const string OtherBinary = "branches in counts of another binary";

    /// <summary>Samples of an event of no use beside a better one.</summary>
    public const string UnusedEvent = "sample counted of an event of no use beside the file's others";

    /// <summary>No line of counts is longer, in characters.</summary>
    private const int MaxLine = 1 << 12;

    private readonly IModuleResolver resolver;
    private readonly Module? only;
    private readonly string? wantedEvent;
    private readonly Dictionary<BuildId, BranchProfile> profiles = [];
    private readonly Dictionary<string, Module?> byBuildId = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<(string Event, Dictionary<Module, PairCounts> Samples)> events = [];
    private readonly List<string> notes = [];
    private readonly List<OtherBinary> others = [];
    private BranchCountBlock block = new();
    private int currentEvent = -1;

    /// <param name="resolver">Finds the binary of a block of counts, or of a build id before an address.</param>
    /// <param name="only">The binary of counts that do not say whose they are; null when that is not known.</param>
    /// <param name="wantedEvent">The event whose samples (BOLT's S lines) count; null for the best.</param>
    public BranchCountText(IModuleResolver resolver, Module? only, string? wantedEvent = null)
    {
        this.resolver = resolver;
        this.only = only;
        this.wantedEvent = wantedEvent;
    }

    /// <summary>Lines that were counted.</summary>
    public ulong Counts { get; private set; }

    /// <summary>What was counted, a profile for each binary.</summary>
    public IEnumerable<BranchProfile> Profiles => profiles.Values;

    /// <summary>What was dropped, by reason.</summary>
    public LossCounts Losses { get; } = new();

    /// <summary>How addresses were understood, where that is not plain.</summary>
    public IReadOnlyList<string> Notes => notes;

    /// <summary>The binaries that it has counts of and that are of no interest.</summary>
    public IReadOnlyList<OtherBinary> OtherBinaries => others;

    /// <summary>Whether text is of this kind: told by the first line that is of one kind only.</summary>
    /// <param name="start">The text's first bytes; the more, the surer.</param>
    public static bool IsCounts(ReadOnlySpan<byte> start)
    {
        using StreamReader text = new(new MemoryStream(start.ToArray()));
        for (string? line = ReadLine(text); line is not null; line = ReadLine(text))
        {
            if (line.Contains("PERF_RECORD_", StringComparison.Ordinal)
                || (line.Contains('/') && line.Contains("0x", StringComparison.Ordinal)
                    && !line.StartsWith("//", StringComparison.Ordinal)))
                return false;
            if (IsDecisive(line))
                return true;
        }
        return false;
    }

    /// <summary>Reads text to its end. What is not understood is counted as lost.</summary>
    /// <exception cref="UserErrorException">It has counts that do not say whose they are, and which binary is of interest was not
    /// said.</exception>
    public void Read(Stream stream)
    {
        using StreamReader text = new(stream, leaveOpen: true);
        while (ReadLine(text) is { } line)
            Read(line);
        EndBlock();
        ChooseEvent();
        foreach (BranchProfile profile in profiles.Values)
            profile.Losses.Merge(Losses);
        if (profiles.Count > 0)
            Losses.Clear();
    }

    private static bool IsDecisive(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return words switch
        {
            ["B", var from, var to, _, _] => IsLocation(from) && IsLocation(to),
            ["F" or "f" or "r", var from, var to, _] => IsLocation(from) && IsLocation(to),
            ["T" or "R", var from, var to, var end, _] => IsLocation(from) && IsLocation(to) && IsLocation(end),
            ["S", var address, var count] => IsLocation(address) && ulong.TryParse(count, out _),
            [var single] =>
                single.LastIndexOf(':') is > 0 and int colon && ulong.TryParse(single.AsSpan(colon + 1), NumberStyles.None, null, out _)
                && BranchCountBlock.IsPlace(single.AsSpan(0, colon)),
            _ => false,
        };
    }

    private static bool IsLocation(string word) => TryParseAddress(word.AsSpan(word.LastIndexOf(':') + 1), out _) || word == "X";

    /// <summary>A line, of which at most the first <see cref="MaxLine"/> characters are kept; null at the end.</summary>
    private static string? ReadLine(StreamReader text)
    {
        int next = text.Read();
        if (next < 0)
            return null;
        StringBuilder line = new();
        for (; next >= 0 && next != '\n'; next = text.Read())
            if (line.Length < MaxLine)
                line.Append((char)next);
        return line.ToString().Trim();
    }

    private void Read(string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        bool understood = words switch
        {
            [] or [['#', ..], ..] => true,
            ["//", ..] => Comment(line[2..].Trim()),
            ["E", .. var name] => Event(string.Join(' ', name)),
            ["B", var from, var to, var count, var mispredicted] => Branch(from, to, count, mispredicted),
            ["F" or "f" or "r", var from, var to, var count] => Range(from, to, count),
            ["T" or "R", var from, var to, var end, var count] => Trace(from, to, end, count),
            ["S", var address, var count] => Sample(address, count),
            // The context of the lines that follow, in an unsymbolized profile of llvm-profgen --csspgo: a profile here has none.
            [['[', ..], ..] => true,
            [var single] => AutoFdo(single),
            _ => false,
        };
        if (!understood)
            Losses.Add(UnknownLine, LikelyCount(words));
    }

    /// <summary>How many branches a line may tell that is not understood: the larger of its last two decimal numbers.</summary>
    private static ulong LikelyCount(string[] words)
    {
        ulong likely = 1;
        if (words.Length > 2)
            foreach (string word in words[Math.Max(1, words.Length - 2)..])
                if (uint.TryParse(word, NumberStyles.None, null, out uint count))
                    likely = Math.Max(likely, count);
        return likely;
    }

    private bool AutoFdo(string text)
    {
        if (text.LastIndexOf(':') < 0)
        {
            if (!ulong.TryParse(text, NumberStyles.None, null, out _))
                return false;
            if (block.IsNamed)
                EndBlock();
            block.BeginPart();
            return true;
        }
        if (block.IsNamed)
            EndBlock();
        return block.Add(text) && Counted();
    }

    /// <summary>Behind a block's counts: <c>build_id: 0x…</c>, then the path.</summary>
    private bool Comment(string text)
    {
        const string BuildIdPrefix = "build_id:";
        if (block.IsEmpty)
            return true;
        if (text.StartsWith(BuildIdPrefix, StringComparison.Ordinal))
        {
            text = text[BuildIdPrefix.Length..].Trim();
            block.BuildId = BuildId.TryParse(text.StartsWith("0x", StringComparison.Ordinal) ? text[2..] : text, out BuildId id)
                ? id : default;
            block.IsNamed = true;
        }
        else if (text.StartsWith('/') || text.StartsWith('['))
        {
            block.Path = text;
            block.IsNamed = true;
        }
        return true;
    }

    private void EndBlock()
    {
        BranchCountBlock ended = block;
        block = new BranchCountBlock();
        if (ended.IsEmpty)
            return;
        Module? module = ended.IsNamed
            ? resolver.Resolve(new Mapping(BranchAggregator.AnyProcess, new(0), 0, new(0), ended.Path, ended.BuildId))
            : only ?? throw Ownerless();
        if (module is null)
        {
            OtherBinary other = new(ended.Path, ended.BuildId);
            other.Count(ended.Branches);
            others.Add(other);
            Losses.Add(OtherBinary, ended.Branches);
            return;
        }
        string? note = ended.AddTo(Profile(module), module);
        if (note is not null && !notes.Contains(note))
            notes.Add(note);
    }

    private bool Event(string name)
    {
        currentEvent = events.FindIndex(known => known.Event == name);
        if (currentEvent < 0)
        {
            const int MaxEvents = 1000;
            if (events.Count == MaxEvents)
                return false;
            currentEvent = events.Count;
            events.Add((name, []));
        }
        return true;
    }

    private bool Branch(string from, string to, string count, string mispredicted) =>
        TryLocation(from, out Location source) && TryLocation(to, out Location target) && TryCount(count, out ulong times)
        && TryCount(mispredicted, out ulong missed) && AddBranch(source, target, times, missed) && Counted();

    private bool Range(string from, string to, string count) =>
        TryLocation(from, out Location begin) && TryLocation(to, out Location end) && TryCount(count, out ulong times)
        && AddRange(begin, end, times) && Counted();

    /// <summary>A branch and the fall-through behind it, either of which may be missing.</summary>
    private bool Trace(string from, string to, string end, string count)
    {
        if (!TryLocation(from, out Location source) || !TryLocation(to, out Location target) || !TryLocation(end, out Location last)
            || !TryCount(count, out ulong times))
            return false;
        if (last.Module is { } module && source.Module == module && target.Module == module && target.Address <= last.Address
            && last.Address - target.Address <= BranchAggregator.MaxRangeLength)
        {
            BranchProfile profile = Profile(module);
            profile.AddTrace(new(source.Address), new(target.Address), new(last.Address), times);
            profile.BranchEntries = PairCounts.Saturating(profile.BranchEntries, times);
            return Counted();
        }
        bool isKnown = false;
        if (!source.IsNone)
            isKnown |= AddBranch(source, target, times, 0);
        if (!last.IsNone)
            isKnown |= AddRange(target, last, times);
        return isKnown && Counted();
    }

    private bool Sample(string address, string count)
    {
        if (!TryLocation(address, out Location sampled) || !TryCount(count, out ulong times) || sampled.Module is not { } module)
            return false;
        if (currentEvent < 0)
            Event("");
        Dictionary<Module, PairCounts> samples = events[currentEvent].Samples;
        if (!samples.TryGetValue(module, out PairCounts? counts))
            samples.Add(module, counts = new PairCounts());
        counts.Add(new(sampled.Address), default, times);
        return Counted();
    }

    private bool AddBranch(Location from, Location to, ulong times, ulong missed)
    {
        if (from.Module is null && to.Module is null)
        {
            Losses.Add(BranchAggregator.ExternalBranch, times);
            return true;
        }
        if (from.Module == to.Module)
        {
            AddBranch(from.Module!, new(from.Address), new(to.Address), times, missed);
            return true;
        }
        if (from.Module is not null)
            AddBranch(from.Module, new(from.Address), BinaryAddress.External, times, missed);
        if (to.Module is not null)
            AddBranch(to.Module, BinaryAddress.External, new(to.Address), times, missed);
        return true;
    }

    private void AddBranch(Module module, BinaryAddress from, BinaryAddress to, ulong times, ulong missed)
    {
        BranchProfile profile = Profile(module);
        profile.AddBranch(from, to, times, missed);
        profile.BranchEntries = PairCounts.Saturating(profile.BranchEntries, times);
    }

    private bool AddRange(Location begin, Location end, ulong times)
    {
        if (begin.Module is not { } module || end.Module != module)
            return false;
        Add(Profile(module), begin.Address, end.Address, times);
        return true;
    }

    internal static void Add(BranchProfile profile, ulong begin, ulong end, ulong times)
    {
        if (begin > end || end - begin > BranchAggregator.MaxRangeLength)
            profile.Losses.Add(BranchAggregator.BogusRange, times);
        else
            profile.AddRange(new(begin), new(end), times);
    }

    /// <summary>The samples of several events do not add up: those asked for, else those that measure time, else the first.</summary>
    private void ChooseEvent()
    {
        if (events.Count == 0)
            return;
        int chosen =
            wantedEvent is not null
                ? events.FindIndex(e => EventName.AreSame(e.Event, wantedEvent))
                : events.FindIndex(static e => EventName.MeasuresTime(e.Event));
        if (wantedEvent is not null && chosen < 0)
            throw new UserErrorException(
                $"there are no samples of the event {wantedEvent}; those there are: {string.Join(", ", events.Select(static e => e.Event))}");
        chosen = Math.Max(chosen, 0);
        for (int i = 0; i < events.Count; i++)
        {
            foreach ((Module module, PairCounts samples) in events[i].Samples)
            {
                if (i == chosen)
                    Profile(module).Addresses.Merge(samples);
                else
                    Losses.Add(UnusedEvent, samples.Total);
            }
        }
        if (events.Count > 1)
            notes.Add($"samples of {events[chosen].Event} count");
    }

    private BranchProfile Profile(Module module)
    {
        if (!profiles.TryGetValue(module.BuildId, out BranchProfile? profile))
            profiles.Add(module.BuildId, profile = new BranchProfile(module.BuildId, module.Path));
        return profile;
    }

    private bool Counted()
    {
        Counts++;
        return true;
    }

    /// <summary>An address of a binary of interest; without a module, one outside these, or none at all.</summary>
    private readonly record struct Location(Module? Module, ulong Address)
    {
        /// <summary>BOLT's -1 to -3: there is no branch, or no fall-through.</summary>
        public bool IsNone => Module is null && Address >= ulong.MaxValue - 2;
    }

    /// <summary>Hexadecimal, with or without 0x and BOLT's build id; 0, X and other binaries' are outside those of interest.</summary>
    private bool TryLocation(string text, out Location location)
    {
        location = default;
        if (text == "X")
            return true;
        int colon = text.IndexOf(':');
        if (!TryParseAddress(text.AsSpan(colon + 1), out ulong value))
            return false;
        if (value >= ulong.MaxValue - 2)
            location = new(null, value);
        else if (colon >= 0 && OfBuildId(text[..colon]) is var module)
            location = new(module, value);
        else if (value != 0)
            location = new(only ?? throw Ownerless(), value);
        return true;
    }

    private Module? OfBuildId(string text)
    {
        if (byBuildId.TryGetValue(text, out Module? known))
            return known;
        const int MaxKnown = 1 << 12;
        Module? module = text == "X" || !BuildId.TryParse(text, out BuildId id) ? null
            : resolver.Resolve(new Mapping(BranchAggregator.AnyProcess, new(0), 0, new(0), "", id));
        if (byBuildId.Count < MaxKnown)
            byBuildId.Add(text, module);
        return module;
    }

    private static UserErrorException Ownerless() =>
        new("holds counts by address, which do not say of which binary: name that one with --binary");

    internal static bool TryParseAddress(ReadOnlySpan<char> text, out ulong value)
    {
        if (text.Length == 2 && text[0] == '-' && text[1] is >= '1' and <= '3')
        {
            value = ulong.MaxValue - (ulong)(text[1] - '1');
            return true;
        }
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            text = text[2..];
        return ulong.TryParse(text, NumberStyles.AllowHexSpecifier, null, out value);
    }

    private static bool TryCount(string text, out ulong count) => ulong.TryParse(text, NumberStyles.None, null, out count);
}
