using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Layout;

/// <summary><c>--for propeller</c>: compilers place what is listed as it is listed, and the program takes fewer branches.</summary>
public sealed partial class PropellerProfileTests : IClassFixture<LayoutProgram>
{
    private readonly LayoutProgram program;

    public PropellerProfileTests(LayoutProgram program) => this.program = program;

    [SkippableTheory]
    [InlineData(19)]
    [InlineData(22)]
    public void Compiler_and_linker_place_every_function_and_block_as_written(int version)
    {
        string clang = $"clang++-{version}";
        Tool.Require(clang);
        Tool.Require("valgrind");
        string before = program.Folder[$"before-{version}"], after = program.Folder[$"after-{version}"], layout = program.Folder[$"layout-{version}"];
        // A second unit with a local function of the same name: its block numbers must not be taken for the other's.
        string other =
            program.Folder.Write(
                "other.cpp",
                "static __attribute__((noinline)) int classify(int x) { return x * 3 + 1; } int otherwise(int x) { return classify(x) + classify(x / 2); }");
        string[] flags =
            ["-O2", "-g1", "-fuse-ld=lld", "-Wl,--build-id", "-Wl,-z,separate-code", "-fbasic-block-address-map", program.SourceFile, other];
        Tool.Run(clang, [.. flags, "-o", before]).Succeeded();
        ToolResult made =
            Tool.Cli("generate", "--binary", before, "--perf-data", program.Record(before), "--for", "propeller", "-o", layout).Succeeded();
        Assert.Equal("", made.Output);
        Assert.True(Field(made.Error, "ExtTspScore") > 1.5 * Field(made.Error, "ExtTspScoreBefore"), made.Error);
        Assert.True(Field(made.Error, "RunOn") > Field(made.Error, "RunOnBefore") + 0.2, made.Error);

        string list = layout + ".cc_profile", symbols = layout + ".ld_profile";
        ToolResult linked =
            Tool.Run(clang, [.. flags, $"-fbasic-block-sections=list={list}", $"-Wl,--symbol-ordering-file={symbols}", "-o", after])
                .Succeeded();
        Assert.Equal("", linked.Error);
        Assert.Equal(LayoutProgram.Output(before), LayoutProgram.Output(after));

        (string[] functions, Dictionary<string, string> listed, string[] modules) = Listed(list);
        Assert.Equal([program.SourceFile], modules);
        Assert.Contains("_ZL8classifyi", functions);
        Assert.Contains("main", functions);
        Dictionary<string, string> placed = Placed(version, after);
        Assert.Equal(functions.Select(f => $"{f}: {listed[f]}"), functions.Select(f => $"{f}: {placed[f]}"));

        string[] order = File.ReadAllLines(symbols);
        Dictionary<string, ulong> addresses = Addresses(after);
        // Of two local functions of one name the linker takes what it likes.
        string[] unique = [.. order.Where(name => name != "_ZL8classifyi" && addresses.ContainsKey(name))];
        Assert.Equal(order.Where(name => name != "_ZL8classifyi"), unique);
        Assert.Equal(unique, unique.OrderBy(name => addresses[name]));
        Assert.Contains("main.cold", unique);

        (long taken, long all) = LayoutProgram.ConditionalBranches(after);
        (long takenBefore, long allBefore) = LayoutProgram.ConditionalBranches(before);
        Assert.True(taken * 1.2 < takenBefore
            && all < allBefore * 1.1, $"{taken} of {all} conditional branches are taken, before it {takenBefore} of {allBefore}");

        // What was laid out so is recorded and laid out again, though its functions are in pieces now.
        string again = program.Folder[$"again-{version}"];
        string report =
            Tool.Cli("generate", "--binary", after, "--perf-data", program.Record(after), "--for", "propeller", "-o", again)
                .Succeeded().Error;
        Assert.True(Field(report, "ExtTspScore") >= 0.98 * Field(report, "ExtTspScoreBefore"), report);
        Assert.True(Field(report, "RunOnBefore") > Field(made.Error, "RunOnBefore") + 0.2, report);
        Assert.Equal(functions.Order(StringComparer.Ordinal), Listed(again + ".cc_profile").Functions.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Local_functions_of_one_name_are_left_out_where_nothing_tells_them_apart()
    {
        string one =
            program.Folder.Write(
                "one.c", "static volatile int sink; static __attribute__((noinline)) int step(int x) { if (x % 3) sink = x; return sink; } int one(int n) { int s = 0; while (n--) s += step(n); return s; }");
        string two = program.Folder.Write("two.c",
            """
            static volatile int sink; static __attribute__((noinline)) int step(int x) { if (x & 7) sink = x; return sink + 1; } int one(int);
            int main(int argc, char **argv) { volatile int n = 20000000; int s = 0; for (int i = n; i; i--) s += step(i) + one(i & 3); return s == 42; }
            """);
        string binary = program.Folder["ambiguous"];
        Tool.Run("clang-19", ["-O2", "-fuse-ld=lld-19", "-Wl,--build-id", "-fbasic-block-address-map", one, two, "-o", binary]).Succeeded();
        string report =
            Tool.Cli("generate", "--binary", binary, "--perf-data", program.Record(binary), "--for", "propeller", "-o", binary)
                .Succeeded().Error;
        Assert.Contains("(2 of 4) of functions are left out, as several have their name: build with -g1", report);
        Assert.Equal(["main", "one"], Listed(binary + ".cc_profile").Functions.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("clang-19", "build what is recorded with clang's -fbasic-block-address-map")]
    [InlineData("gcc", "only clang writes (it was built by GCC")]
    public void A_binary_without_block_map_is_refused(string compiler, string expected)
    {
        string source = program.Folder.Write("small.c", "int main(void) { return 0; }"), binary = program.Folder["small"];
        Tool.Run(compiler, ["-O1", "-Wl,--build-id", source, "-o", binary]).Succeeded();
        ToolResult result =
            Tool.Cli("generate", "--binary", binary, "--perf-data", program.Recording, "--for", "propeller", "-o", program.Folder["none"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(expected, Assert.Single(result.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries)));
        Assert.Equal([], Directory.GetFiles(program.Folder.Path, "none*"));
    }

    [Fact]
    public void A_name_for_the_files_is_asked_for() => Assert.Contains(
        "give -o FILE", Tool.Cli("generate", "--binary", program.Binary, "--perf-data", program.Recording, "--for", "propeller").Error);

    private static double Field(string report, string name) =>
        double.Parse(
            report.Split('\n').Single(line => line.StartsWith(name + ": ", StringComparison.Ordinal))[(name.Length + 2)..],
            CultureInfo.InvariantCulture);

    /// <summary>The functions of a list, in order, with their clusters, and the modules it names.</summary>
    private static (string[] Functions, Dictionary<string, string> Clusters, string[] Modules) Listed(string file)
    {
        string[] lines = File.ReadAllLines(file);
        Assert.Equal("v1", lines[0]);
        string[] functions = [.. lines.Where(line => line[0] == 'f').Select(line => line[2..].Split(' ')[0])];
        string[] clusters = [.. lines.Where(line => line[0] == 'c').Select(line => line[2..])];
        return (functions, functions.Zip(clusters)
            .ToDictionary(pair => pair.First, pair => pair.Second), [.. lines.Where(line => line[0] == 'm').Select(line => line[2..])]);
    }

    /// <summary>The numbers of the blocks in the first piece of each function, as LLVM's own reader finds them.</summary>
    private static Dictionary<string, string> Placed(int version, string binary)
    {
        Dictionary<string, string> placed = [];
        string? name = null;
        List<string> ids = [];
        int pieces = 0;
        foreach (string line in Tool.Run($"/usr/lib/llvm-{version}/bin/llvm-readobj", ["--bb-addr-map", binary])
            .Succeeded().Output.Split('\n').Append("At: end"))
        {
            string[] words = line.Trim().Split(": ");
            if (words[0] == "At")
            {
                if (name is not null)
                    placed.TryAdd(name, string.Join(' ', ids));
                (name, pieces, ids) = (null, 0, []);
            }
            else if (words[0] == "Name" && name is null)
            {
                name = words[1];
            }
            else if (words[0] == "Base Address")
            {
                pieces++;
            }
            else if (words[0] == "ID" && pieces == 1)
            {
                ids.Add(words[1]);
            }
        }
        return placed;
    }

    private static Dictionary<string, ulong> Addresses(string binary)
    {
        Dictionary<string, ulong> addresses = [];
        foreach (Match symbol in Symbols().Matches(Tool.Run("llvm-nm-19", [binary]).Succeeded().Output))
            addresses.TryAdd(
                symbol.Groups[2].Value, ulong.Parse(symbol.Groups[1].Value, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
        return addresses;
    }

    [GeneratedRegex(@"(?m)^([0-9a-f]{16}) [tTwW] (\S+)$")]
    private static partial Regex Symbols();
}
