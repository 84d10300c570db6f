using System.Text;
using System.Text.RegularExpressions;
using Perforator.Benchmarks;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.PerfScript;
using Perforator.SampleProfiles;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

/// <summary>Compiles the programs of testdata/generation, makes branch stacks of them and runs both generators on these.</summary>
public sealed class PeerComparison : IDisposable
{
    private readonly TemporaryFolder folder = new();

    /// <summary>The sources' folder.</summary>
    public static string Sources { get; } = Path.Combine(Tool.RepositoryRoot(), "testdata", "generation");

    /// <summary>The full path of a file among the compiled programs.</summary>
    public string this[string name] => folder[name];

    /// <summary>Compiles the C++ program (main.cpp and lib.cpp).</summary>
    public string CompileCpp(string name, params string[] flags) =>
        Compile(name, "clang++-19", ["-O2", "-g", .. flags, Path.Combine(Sources, "main.cpp"), Path.Combine(Sources, "lib.cpp")]);

    /// <summary>Compiles with any compiler, in the folder of the programs.</summary>
    public string Compile(string name, string compiler, params string[] arguments)
    {
        Tool.Run(compiler, [.. arguments, "-o", folder[name]], folder: folder.Path).Succeeded();
        return folder[name];
    }

    /// <summary>Walks the binary for branch stacks and returns the path of the perf script text.</summary>
    public static string Record(string binary, long branches = 40_000, int seed = 1, double noise = 0, double skid = 0)
    {
        string script = $"{binary}.{seed}.txt";
        using ElfFile elf = ElfFile.Load(binary);
        using StreamWriter text = new(script);
        new BranchWalker(elf, seed) { Bias = elf.IsPositionIndependent ? 0x555555554000UL : 0, Noise = noise, Skid = skid }
            .WritePerfScript(text, binary, branches);
        return script;
    }

    /// <summary>The versions of llvm-profgen that profiles are held to.</summary>
    private static int[] Versions { get; } = Tool.Find("llvm-profgen-22") is null ? [19] : [19, 22];

    /// <summary>llvm-profgen's profile, as text.</summary>
    public static string Peer(string binary, string script, params string[] options) => Peer(19, binary, script, options);

    private static string Peer(int version, string binary, string script, params string[] options)
    {
        string output = $"{script}.peer";
        Tool.Run($"llvm-profgen-{version}", ["--perfscript", script, "--binary", binary, "--format", "text", "-o", output, .. options])
            .Succeeded();
        return File.ReadAllText(output);
    }

    /// <summary>Our profile, as text.</summary>
    public static string Ours(string binary, string script, string? debugFile = null) =>
        Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(Generate(binary, script, out _, debugFile), SampleProfileFormat.Text));

    /// <summary>Our profile and how well the branches fit.</summary>
    public static SampleProfile Generate(string binary, string script, out FlowChecks checks, string? debugFile = null)
    {
        using ProfiledBinary opened = ProfiledBinary.Load(binary, new LocalDebugFiles(debugFile));
        BranchAggregator aggregator = new(new SingleModuleResolver(opened.ToModule()));
        new PerfScriptReader(aggregator).ReadFile(script);
        checks = new FlowChecks();
        return ProfileGenerator.Generate(aggregator.Profiles[opened.BuildId], opened, checks);
    }

    /// <summary>Both profiles must be equal to the letter, and not empty.</summary>
    public static void AssertEqual(string binary, string? script = null, string? debugFile = null)
    {
        script ??= Record(binary);
        string ours = Ours(binary, script, debugFile);
        foreach (int version in Versions)
        {
            // With probes, LLVM 22 counts what has no debug info as well, by its symbols (docs/internals.md).
            if (version > 19 && ours.Contains("!CFGChecksum", StringComparison.Ordinal))
                continue;
            string peer = Peer(version, binary, script, debugFile is null ? [] : ["--debug-binary", debugFile]);
            Assert.True(peer.Length > 200, $"llvm-profgen-{version}'s own profile is nearly empty:\n{peer}");
            Assert.Equal(peer, ours);
        }
    }

    /// <summary>The same functions, and LLVM's own overlap at least as many per cent.</summary>
    public static void AssertOverlap(string binary, string script, double least)
    {
        string peer = Peer(binary, script), ours = Ours(binary, script);
        File.WriteAllText($"{script}.ours", ours);
        Assert.Equal(Functions(peer), Functions(ours));
        string report = Tool.Run("llvm-profdata-19", ["overlap", "--sample", $"{script}.peer", $"{script}.ours"]).Succeeded().Output;
        Match overlap = Regex.Match(report, @"Whole program sample overlap: ([0-9.]+)%");
        Assert.True(overlap.Success && double.Parse(overlap.Groups[1].Value) >= least, report);

        static IEnumerable<string> Functions(string profile) =>
            SampleProfileReader.Parse(Encoding.UTF8.GetBytes(profile)).Functions.Keys.Order(StringComparer.Ordinal);
    }

    /// <summary>
    /// Both profiles must be equal but for what llvm-profgen makes of calls from outside: it takes their source for address 1, where
    /// linkers leave the debug info of functions they discarded, and so invents a caller without samples.
    /// </summary>
    public static void AssertEqualButForInventedCallers(string binary)
    {
        string script = Record(binary);
        SampleProfile peer = SampleProfileReader.Parse(Encoding.UTF8.GetBytes(Peer(binary, script)));
        SampleProfile ours = Generate(binary, script, out _);
        foreach (FunctionSamples function in peer.Functions.Values.Where(f => f is { TotalSamples: 0, HeadSamples: 0 }).ToList())
            if (!ours.Functions.ContainsKey(function.Name))
                peer.Functions.Remove(function.Name);
        Assert.True(peer.Functions.Count > 5);
        Assert.Equal(Text(peer), Text(ours));
    }

    public void Dispose() => folder.Dispose();

    private static string Text(SampleProfile profile) =>
        Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text));
}
