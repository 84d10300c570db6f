using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Dwarf;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.Inputs;
using Perforator.Layout;
using Perforator.PerfData;
using Perforator.PerfScript;
using Perforator.Pprof;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Fuzz;

/// <summary>One reader of untrusted bytes.</summary>
/// <param name="Name">Also the folder of its valid inputs.</param>
/// <param name="Read">Reads an input as far as it goes; only <see cref="MalformedInputException"/> may come out.</param>
internal sealed record FuzzTarget(string Name, Action<byte[]> Read)
{
    /// <summary>Every reader between a file and a profile.</summary>
    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        new("elf", ReadElf),
        new("dwarf", ReadDwarf),
        new("split-dwarf", ReadSplitDwarf),
        new("pseudo-probe", static bytes => PseudoProbes.Parse(bytes, bytes, static _ => true, static _ => 0x1000)),
        new("perf-data", static bytes => new PerfDataReader(NewSink()).Read(new MemoryStream(bytes))),
        new("perf-script", static bytes => new PerfScriptReader(NewSink()).Read(new MemoryStream(bytes))),
        new("branch-counts", static bytes => new BranchCountText(new OneModule(), OneModule.Any).Read(new MemoryStream(bytes))),
        new("input-kind", static bytes => InputKinds.Detect(bytes)),
        new("branch-profile", static bytes => BranchProfileCodec.Decode(bytes)),
        new("branch-profile-message", static bytes => BranchProfileMessage.Decode(bytes, BranchProfileCodec.DefaultMaxRows)),
        new("pprof", static bytes => new PprofReader(NewSink(), new OneModule()).Read(bytes)),
        new("sample-profile", ReadSampleProfile),
        new("block-map", ReadBlockMap),
    ];

    /// <summary>A basic-block map, and a layout by what was observed of its first blocks.</summary>
    private static void ReadBlockMap(byte[] bytes)
    {
        List<FunctionBlocks> functions = [];
        BlockAddressMap.Parse(bytes, "input", functions);
        BranchProfile profile = new(OneModule.Any.BuildId, "input");
        foreach (BasicBlock block in functions.SelectMany(static function => function.Blocks).Take(200))
        {
            profile.AddTrace(block.Start, block.Start, new(unchecked(block.Start.Value + Math.Min(block.Size, 40))), 7);
            profile.AddBranch(new(unchecked(block.End - 1)), block.Start, 3);
        }
        CodeLayout.Of(BlockFlow.Of(profile, functions));
    }

    private static BranchAggregator NewSink() => new(new OneModule());

    private static void ReadElf(byte[] bytes)
    {
        ElfFile file = ElfFile.Parse(bytes, "input");
        _ = file.BuildId;
        foreach (ElfSection section in file.Sections)
            Contain(() => file.ReadSection(section));
        _ = file.Symbols;
    }

    private static void ReadDwarf(byte[] bytes)
    {
        ElfFile file = ElfFile.Parse(bytes, "input");
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        foreach (BinaryFunction function in symbolizer.AllFunctions().Take(10_000))
            foreach (FunctionRange range in function.Ranges)
                symbolizer.Find(range.Start);
        foreach (LoadSegment segment in file.LoadSegments.Where(static s => s.IsExecutable))
            for (ulong i = 0; i < Math.Min(segment.FileSize, 4096); i += 3)
                symbolizer.Find(new BinaryAddress(unchecked(segment.Address.Value + i)));
    }

    /// <summary>An object file with its split units (-gsplit-dwarf=single), or a package of them.</summary>
    private static void ReadSplitDwarf(byte[] bytes)
    {
        ElfFile file = ElfFile.Parse(bytes, "input");
        DwarfUnits skeletons = DwarfUnits.Read(new DwarfSections(file.SectionData));
        DwarfUnits units = DwarfUnits.Read(new DwarfSections(name => file.SectionData(name + ".dwo")));
        LineTables lines = new(skeletons.Sections.Line, static _ => true, static _ => { });
        FunctionNames names = new();
        foreach (DwarfUnit unit in units.All)
            Contain(() =>
            {
                unit.Skeleton = skeletons.All.FirstOrDefault(skeleton => skeleton.DwoId == unit.DwoId);
                UnitSymbols symbols = new(unit, names, lines, static _ => true, new LossCounts());
                foreach (BinaryFunction function in symbols.Functions().Take(10_000))
                    symbols.Find(function.Ranges[0].Start.Value);
            });
        if (!file.HasSection(".debug_cu_index"))
            return;
        PackageIndex index = PackageIndex.Parse(file.SectionData(".debug_cu_index"));
        foreach (DwarfUnit unit in units.All)
            Contain(() => index.Find(unit.DwoId, ".debug_info"));
    }

    private static void ReadSampleProfile(byte[] bytes)
    {
        SampleProfile profile = SampleProfileReader.Parse(bytes);
        SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary);
        ProfileFlattening.Flatten(profile);
        ProfileQuality.Of(profile);
        SampleProfile sum = new();
        sum.Merge(profile, ulong.MaxValue, new LossCounts());
    }

    /// <summary>A unit of loss: what is malformed in it costs only it.</summary>
    private static void Contain(Action read)
    {
        try
        {
            read();
        }
        catch (MalformedInputException)
        {
        }
    }

    /// <summary>Takes every mapping for one binary, so that all branches count.</summary>
    private sealed class OneModule : IModuleResolver
    {
        public static readonly Module Any =
            new(BuildId.Parse("00112233"), "input", [new LoadSegment(new(0), new(0), 1UL << 40, 1UL << 40, IsExecutable: true)]);

        public Module? Resolve(Mapping mapping) => Any;
    }
}
