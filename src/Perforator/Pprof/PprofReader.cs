using System.IO.Compression;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.Pprof;

/// <summary>
/// Reads branch stacks from a pprof profile of sample type <c>lbr/stacks</c>, as the agents of yandex/perforator make them: the
/// locations of a sample are from, to, from, to, …, newest first. Plain, gzip or Zstandard.
/// </summary>
public sealed class PprofReader
{
    public const string OddStack = "pprof sample whose locations are not pairs of from and to";
    public const string UnknownLocation = "pprof sample with a location that the profile does not have";
    public const string DamagedSample = "pprof sample damaged";
    public const string NegativeValue = "pprof sample with a negative value";
    public const string BadMapping = "pprof mapping that is empty or wraps around the address space";

    /// <summary>The sample type read.</summary>
    public const string SampleType = "lbr/stacks";

    /// <summary>The largest profile taken, after decompression, in bytes.</summary>
    public const int MaxMessageSize = 1 << 30;

    /// <summary>Mappings are moved apart to addresses from here on: one profile holds processes whose addresses overlap.</summary>
    private const ulong FirstAddress = 1 << 28;
    private const ulong MaxMappingLength = 1UL << 44;

    private readonly IBranchSink sink;
    private readonly IModuleResolver resolver;

    /// <param name="sink">What is fed.</param>
    /// <param name="resolver">Knows the binaries, whose layout says what a mapping's offset means.</param>
    public PprofReader(IBranchSink sink, IModuleResolver resolver)
    {
        this.sink = sink;
        this.resolver = resolver;
    }

    /// <summary>Samples handed over, each once, whatever its weight.</summary>
    public ulong Samples { get; private set; }

    /// <summary>How the values of samples were used, as a sentence for the report.</summary>
    public string WeightNote { get; private set; } = "";

    /// <summary>Whether the bytes may be a pprof profile: compressed, or a message that begins with a sample type.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> start) =>
        IsGzip(start) || IsZstandard(start) || (start.Length > 2 && start[0] == 0x0a && start[1] < 0x20 && start[2] == 0x08);

    /// <summary>Reads a file.</summary>
    /// <exception cref="UserErrorException">Unreadable, not a pprof profile, or one without branch stacks.</exception>
    public void ReadFile(string path)
    {
        using FileStream file = InputFile.Open(path);
        ReadFile(file, InputFile.NameOf(path));
    }

    /// <summary>Reads a file or pipe that stands at its beginning.</summary>
    /// <param name="path">What messages call it.</param>
    /// <exception cref="UserErrorException">Unreadable, not a pprof profile, or one without branch stacks.</exception>
    public void ReadFile(Stream file, string path)
    {
        try
        {
            Read(InputFile.ReadWhole(file, path));
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"{path} cannot be read as a pprof profile: {e.What}", e);
        }
    }

    /// <summary>Reads a profile.</summary>
    /// <exception cref="MalformedInputException">Not a pprof profile, or one without branch stacks.</exception>
    public void Read(byte[] file)
    {
        PprofProfile profile = PprofProfile.Parse(Decompress(file));
        int value = profile.SampleTypes.IndexOf(SampleType);
        if (value < 0)
        {
            string has = profile.SampleTypes.Count == 0 ? "nothing" : string.Join(", ", profile.SampleTypes.Take(5));
            throw new MalformedInputException(
                $"it holds {has}, not {SampleType}; have the agent collect branch stacks (LBR)", "pprof profile", 0);
        }
        Dictionary<ulong, (ulong Start, ulong Limit, ulong Moved)> mappings = MoveApart(profile);
        ulong one = ValueOfOneStack(profile, value);
        List<ulong> ids = [], values = [];
        BranchEntry[] stack = new BranchEntry[64];
        for (int i = 0; i < profile.SampleCount; i++)
        {
            if (TryReadStack(profile, i, ids, values, mappings, ref stack) is not int count)
                continue;
            ulong weight = value < values.Count ? values[value] : 1;
            if (weight > long.MaxValue)
            {
                sink.OnLost(NegativeValue, 1);
                continue;
            }
            Samples++;
            sink.OnSample(new BranchSample
            {
                ProcessId = BranchAggregator.AnyProcess,
                ThreadId = 0,
                Stack = stack.AsSpan(0, count),
                Weight = one == 0 ? 1 : Math.Max(1, (weight + one / 2) / one),
            });
        }
    }

    private int? TryReadStack(
        PprofProfile profile, int index, List<ulong> ids, List<ulong> values,
        Dictionary<ulong, (ulong Start, ulong Limit, ulong Moved)> mappings, ref BranchEntry[] stack)
    {
        try
        {
            profile.ReadSample(index, ids, values);
        }
        catch (MalformedInputException)
        {
            sink.OnLost(DamagedSample, 1);
            return null;
        }
        if (ids.Count == 0 || ids.Count % 2 != 0)
        {
            sink.OnLost(OddStack, 1);
            return null;
        }
        int count = ids.Count / 2;
        if (stack.Length < count)
            Array.Resize(ref stack, count);
        for (int i = 0; i < count; i++)
        {
            if (!profile.Locations.TryGetValue(ids[2 * i], out PprofProfile.Location from)
                || !profile.Locations.TryGetValue(ids[2 * i + 1], out PprofProfile.Location to))
            {
                sink.OnLost(UnknownLocation, 1);
                return null;
            }
            stack[i] = new BranchEntry(Move(from, mappings), Move(to, mappings));
        }
        return count;
    }

    /// <summary>Where an address has been moved to; 0 for one outside its mapping.</summary>
    private static RuntimeAddress Move(
        PprofProfile.Location location, Dictionary<ulong, (ulong Start, ulong Limit, ulong Moved)> mappings) =>
        mappings.TryGetValue(location.MappingId, out var mapping) && location.Address >= mapping.Start && location.Address < mapping.Limit
            ? new(location.Address - mapping.Start + mapping.Moved)
            : default;

    private Dictionary<ulong, (ulong Start, ulong Limit, ulong Moved)> MoveApart(PprofProfile profile)
    {
        Dictionary<ulong, (ulong, ulong, ulong)> moved = [];
        ulong next = FirstAddress;
        foreach (PprofProfile.MappedFile file in profile.Mappings)
        {
            ulong length = file.Limit - file.Start;
            if (file.Limit <= file.Start || length > MaxMappingLength || next > ulong.MaxValue / 2)
            {
                // The kernel's has no range.
                if (file.Path.StartsWith('/'))
                    sink.OnLost(BadMapping, 1);
                continue;
            }
            Mapping mapping = new(BranchAggregator.AnyProcess, new(next), length, new(file.Offset), file.Path, file.BuildId);
            sink.OnMapping(mapping with { Offset = FileOffsetOf(mapping) });
            moved[file.Id] = (file.Start, file.Limit, next);
            next += (length + 0x1fff) & ~0xfffUL;
        }
        return moved;
    }

    /// <summary>
    /// Where in the file a mapping begins. The agents write, in file_offset, how far its first address lies from the first PT_LOAD's,
    /// which is the same only where the linker keeps addresses and offsets in step; other tools write the true offset.
    /// </summary>
    private FileOffset FileOffsetOf(Mapping mapping)
    {
        const ulong PageMask = 0xfff;
        if (resolver.Resolve(mapping) is not { Segments: [var first, ..] } module)
            return mapping.Offset;
        ulong address = first.Address.Value + mapping.Offset.Value;
        foreach (var segment in module.Segments)
            if (segment.IsExecutable && (segment.Address.Value & ~PageMask) == (address & ~PageMask))
                return new(segment.Offset.Value - (segment.Address.Value - address));
        return mapping.Offset;
    }

    /// <summary>
    /// What a stack seen once has as its value: the format says the value is a count of stacks, but the agents fill in the count of
    /// events (cycles) that the sample stands for, and merged profiles have sums. 0 when values do not tell how often a stack was seen.
    /// </summary>
    private ulong ValueOfOneStack(PprofProfile profile, int value)
    {
        List<ulong> ids = [], values = [];
        ulong divisor = 0, smallest = ulong.MaxValue;
        for (int i = 0; i < profile.SampleCount; i++)
        {
            try
            {
                profile.ReadSample(i, ids, values);
            }
            catch (MalformedInputException)
            {
                continue;
            }
            if (value >= values.Count || values[value] is 0 or > long.MaxValue)
                continue;
            divisor = GreatestCommonDivisor(divisor, values[value]);
            smallest = Math.Min(smallest, values[value]);
        }
        if (profile.Period > 0 && divisor % profile.Period == 0 && divisor > 0)
        {
            WeightNote = $"values are multiples of the period, {profile.Period}: each stack counts that many times";
            return profile.Period;
        }
        if (divisor > 0 && divisor == smallest)
        {
            WeightNote = divisor == 1
                ? "values are counts of stacks" : $"values are multiples of {divisor}: each stack counts that many times";
            return divisor;
        }
        WeightNote = divisor == 0
            ? "samples have no values: each stack counts once" : "values are counts of events, not of stacks: each stack counts once";
        return 0;
    }

    private static ulong GreatestCommonDivisor(ulong a, ulong b)
    {
        while (b != 0)
            (a, b) = (b, a % b);
        return a;
    }

    private static bool IsGzip(ReadOnlySpan<byte> start) => start.Length > 2 && start[0] == 0x1f && start[1] == 0x8b;

    private static bool IsZstandard(ReadOnlySpan<byte> start) =>
        start.Length > 4 && System.Buffers.Binary.BinaryPrimitives.ReadUInt32LittleEndian(start) == Zstandard.FrameMagic;

    private static ReadOnlyMemory<byte> Decompress(byte[] file)
    {
        if (IsZstandard(file))
            return Zstandard.Decompress(file, MaxMessageSize, "pprof profile");
        if (!IsGzip(file))
            return file;
        try
        {
            using GZipStream inflate = new(new MemoryStream(file, writable: false), CompressionMode.Decompress);
            using MemoryStream output = new();
            byte[] buffer = new byte[1 << 16];
            while (inflate.Read(buffer) is > 0 and int read)
            {
                output.Write(buffer, 0, read);
                if (output.Length > MaxMessageSize)
                    throw new MalformedInputException($"decompresses to more than {MaxMessageSize} bytes", "pprof profile", 0);
            }
            return output.GetBuffer().AsMemory(0, (int)output.Length);
        }
        catch (InvalidDataException e)
        {
            throw new MalformedInputException($"damaged gzip data: {e.Message}", "pprof profile", 0);
        }
    }
}
