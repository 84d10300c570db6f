using System.Diagnostics;
using BenchmarkDotNet.Attributes;
using Perforator.Elf;
using Perforator.Symbolize;

namespace Perforator.Benchmarks;

/// <summary>
/// Symbolizing a program compiled with full debug info: the one PERFORATOR_BENCHMARK_BINARY names, else the sample service.
/// </summary>
[MemoryDiagnoser]
public class SymbolizerBenchmarks
{
    private string path = "";
    private ElfFile binary = null!;
    private ElfSection text = null!;
    private Symbolizer warm = null!;

    [GlobalSetup]
    public void Setup()
    {
        path = Environment.GetEnvironmentVariable("PERFORATOR_BENCHMARK_BINARY") ?? CompileSample();
        binary = ElfFile.Load(path);
        text = binary.Section(".text") ?? throw new InvalidOperationException($"{path} has no .text");
        warm = Symbolizer.Open(binary, LocalDebugFiles.Found);
        Walk(warm);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        warm.Dispose();
        binary.Dispose();
    }

    /// <summary>Units, line programs and inline trees of the whole binary: everything is touched once.</summary>
    [Benchmark]
    public uint ReadEverything()
    {
        using Symbolizer symbolizer = Symbolizer.Open(binary, LocalDebugFiles.Found);
        return Walk(symbolizer);
    }

    /// <summary>One address, as the least that touching a unit costs.</summary>
    [Benchmark]
    public uint ReadOneUnit()
    {
        using Symbolizer symbolizer = Symbolizer.Open(binary, LocalDebugFiles.Found);
        return symbolizer.Find(new(text.Address.Value + text.Size / 2)).Line;
    }

    /// <summary>Every fourth address in ascending order, with all units read already.</summary>
    [Benchmark]
    public uint LookUp()
    {
        uint lines = 0;
        for (ulong at = 0; at < text.Size; at += 4)
            lines += warm.Find(new(text.Address.Value + at)).Line;
        return lines;
    }

    private uint Walk(Symbolizer symbolizer)
    {
        uint lines = 0;
        for (BinaryAddress at = text.Address, end = new(text.Address.Value + text.Size); at < end;)
        {
            SourceLocation location = symbolizer.Find(at);
            lines += location.Line;
            at = location.End;
        }
        return lines;
    }

    private static string CompileSample()
    {
        DirectoryInfo? root = new(AppContext.BaseDirectory);
        while (root is not null && !Directory.Exists(Path.Combine(root.FullName, "samples")))
            root = root.Parent;
        string sources =
            Path.Combine(
                root?.FullName ?? throw new DirectoryNotFoundException("samples/ is not above the benchmark"), "samples", "logquery");
        string output = Path.Combine(Path.GetTempPath(), "perforator-benchmark-sample");
        string[] arguments =
            ["-std=c++20", "-O2", "-g", "-fdebug-info-for-profiling", "-pthread", "-o", output, .. Directory.GetFiles(sources, "*.cpp")];
        using Process compiler = Process.Start("clang++-19", arguments);
        compiler.WaitForExit();
        return compiler.ExitCode == 0 ? output : throw new InvalidOperationException("clang++-19 failed");
    }
}
