using Perforator.Generation;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

/// <summary>Counts of a profile find their lines in source, also those of inlined functions from other files.</summary>
public sealed class FunctionPlacesTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    [Theory]
    [InlineData("clang-19", "-g -fdebug-info-for-profiling")]
    [InlineData("clang-19", "-g -gdwarf-4 -fdebug-info-for-profiling")]
    [InlineData("clang-19", "-g -fdebug-info-for-profiling -fpseudo-probe-for-profiling")]
    [InlineData("clang-19", "-g -gsplit-dwarf -fdebug-info-for-profiling")]
    [InlineData("gcc-12", "-g")]
    public void A_function_and_what_is_inlined_into_it_have_their_lines(string compiler, string flags)
    {
        Directory.CreateDirectory(folder["include"]);
        string header = folder.Write("include/twice.h", """
            inline __attribute__((always_inline)) unsigned twice(unsigned n)
            {
                unsigned sum = 0;
                for (unsigned i = 0; i < n; i++)
                    sum += (sum >> 3) ^ i;
                return sum;
            }
            """), source = folder.Write("main.c", """
            #include "twice.h"

            __attribute__((noinline)) unsigned work(unsigned n)
            {
                return n & 1 ? twice(n) : n * 3;
            }

            int main(int argc, char **argv) { (void)argv; return work(argc) & 1; }
            """);
        ToolResult compiled = Tool.Run(
            compiler, ["-O2", .. flags.Split(' '), "-I", folder["include"], source, "-o", folder["program"]]);
        compiled.Succeeded();
        using ProfiledBinary binary =
            ProfiledBinary.Load(
                folder["program"], new LocalDebugFiles(null), compiler == "clang-19" ? TargetCompiler.Clang : TargetCompiler.Gcc);
        FunctionPlaces places = binary.PlacesOf("work")!;
        Assert.Equal(new SourcePlace(source, 3), places.StartOf("work"));
        Assert.Equal(new SourcePlace(source, 5), places.LineOf("work", 2));
        Assert.Equal(new SourcePlace(header, 1), places.StartOf("twice"));
        Assert.Equal(new SourcePlace(header, 5), places.LineOf("twice", 4));
        Assert.Null(places.StartOf("main"));
        Assert.Null(binary.PlacesOf("nobody"));
        if (!binary.HasPseudoProbes)
            return;
        Assert.Equal(source, places.ProbeOf("work", 1)!.Value.File);
        uint[] lines =
            [.. Enumerable.Range(1, 20).Select(probe => places.ProbeOf("twice", (uint)probe)).OfType<SourcePlace>()
                .Select(static place => place.Line)];
        Assert.Contains(5u, lines);
        Assert.All(lines, static line => Assert.InRange(line, 1u, 7u));
    }

    public void Dispose() => folder.Dispose();
}
