using System.Net;
using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;

namespace Perforator.Tests.EndToEnd;

/// <summary>A server with a service, <c>myservice</c>, of which a new profile arrives when a test says so.</summary>
public sealed class BuildRecipesFixture : IDisposable
{
    private readonly LoopProgram program = new();
    private readonly TemporaryFolder folder = new();
    private int minutes;

    public BuildRecipesFixture()
    {
        Server = ServerProcess.Start(folder["data"]);
        using HttpResponseMessage stored =
            Server.PutBinaryAsync(program.BuildId.ToString(), File.ReadAllBytes(program.Binary)).GetAwaiter().GetResult();
        Assert.Equal(HttpStatusCode.Created, stored.StatusCode);
        NewProfileArrives();
    }

    internal ServerProcess Server { get; }

    /// <summary>What builds find in their environment.</summary>
    internal Dictionary<string, string> Environment => new()
    {
        ["PATH"] = $"{Path.GetDirectoryName(Tool.Perforator)}:{System.Environment.GetEnvironmentVariable("PATH")}",
        ["PERFORATOR_SERVER"] = Server.Address.ToString(),
        ["XDG_CACHE_HOME"] = folder["cache"],
        ["CXX"] = "clang++-19",
        ["CCACHE_DIR"] = folder["ccache"],
        ["CARGO_HOME"] = folder["cargo"],
    };

    /// <summary>Where profiles are left.</summary>
    internal string Cache => folder["cache/perforator"];

    /// <summary>More branches arrive than are there, in other proportions.</summary>
    internal void NewProfileArrives() =>
        Server.UploadAsync(program.Recorded(rounds: program.ExecutableBytes << minutes, minutes++, service: "myservice")).GetAwaiter()
            .GetResult();

    internal ToolResult Perforator(params string[] arguments) => Tool.Run(Tool.Perforator, arguments, environment: Environment);

    public void Dispose()
    {
        Server.Dispose();
        program.Dispose();
        folder.Dispose();
    }
}

/// <summary>The guide's recipes for build systems and caches do with the real tools what the guide says.</summary>
public sealed partial class BuildRecipesTests(BuildRecipesFixture service) : IClassFixture<BuildRecipesFixture>, IDisposable
{
    private const string Source = """
        extern "C" __attribute__((noinline)) unsigned work(unsigned n)
        {
            unsigned h = 1;
            for (unsigned i = 0; i < n; i++)
                h = (h ^ i) * 16777619u + (h >> 7);
            return h;
        }
        int main(int argc, char **) { return work(argc * 1000) == 0; }
        """;

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [SkippableFact]
    public void Make_compiles_again_when_the_profile_changes_and_only_then()
    {
        folder.Write("main.cpp", Source);
        folder.Write("Makefile", Recipe("make"));
        string first = Profile(Run("make").Output);
        Assert.DoesNotContain("-c -o main.o", Run("make").Output, StringComparison.Ordinal);
        service.NewProfileArrives();
        Assert.NotEqual(first, Profile(Run("make").Output));
        Assert.DoesNotContain("-c -o main.o", Run("make").Output, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void CMake_takes_the_profile_when_it_configures_and_the_linker_has_it_with_lto()
    {
        Tool.Require("cmake");
        Tool.Require("ninja");
        folder.Write("main.cpp", Source);
        string module = Path.Combine(Path.GetDirectoryName(Tool.Perforator)!, "share", "cmake", "Perforator.cmake");
        folder.Write(
            "CMakeLists.txt", Recipe("cmake").Replace("/opt/perforator/share/cmake/Perforator.cmake", module, StringComparison.Ordinal));
        Run("cmake", "-G", "Ninja", "-B", "build");
        string first = Profile(Run("cmake", "--build", "build", "-v").Output);
        service.NewProfileArrives();
        Assert.Contains("no work to do", Run("cmake", "--build", "build", "-v").Output, StringComparison.Ordinal);
        Run("cmake", "-B", "build");
        string second = Profile(Run("cmake", "--build", "build", "-v").Output);
        Assert.NotEqual(first, second);

        folder.Write("CMakeLists.txt", File.ReadAllText(folder["CMakeLists.txt"])
            .Replace("perforator_optimize", "set_property(TARGET myservice PROPERTY INTERPROCEDURAL_OPTIMIZATION ON)\nperforator_optimize", StringComparison.Ordinal));
        Run("cmake", "-B", "build");
        string output = Run("cmake", "--build", "build", "-v").Output;
        Assert.Matches(
            $"-fuse-ld=lld.* -fprofile-sample-use={Regex.Escape(second)}.* -Wl,-mllvm,-inline-enable-cost-benefit-analysis=true", output);

        // Nothing fails for want of a server, unless it is to.
        Dictionary<string, string> alone =
            new(service.Environment) { ["PERFORATOR_SERVER"] = "http://127.0.0.1:1", ["XDG_CACHE_HOME"] = folder["empty"] };
        ToolResult without = Tool.Run("cmake", ["-G", "Ninja", "-B", "alone"], folder: folder.Path, environment: alone).Succeeded();
        Assert.Contains("cannot reach the server", without.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("profile-sample-use", File.ReadAllText(folder["alone/build.ninja"]), StringComparison.Ordinal);
        folder.Write(
            "CMakeLists.txt",
            File.ReadAllText(folder["CMakeLists.txt"])
                .Replace("SERVICE myservice", "SERVICE myservice REQUIRED", StringComparison.Ordinal));
        Assert.NotEqual(0, Tool.Run("cmake", ["-G", "Ninja", "-B", "required"], folder: folder.Path, environment: alone).ExitCode);
    }

    [SkippableFact]
    public void Meson_takes_the_profile_when_it_sets_up()
    {
        Tool.Require("meson");
        Tool.Require("ninja");
        folder.Write("main.cpp", Source);
        folder.Write("meson.build", Recipe("meson"));
        Run("meson", "setup", "build");
        string first = Profile(Run("ninja", "-C", "build", "-v").Output);
        service.NewProfileArrives();
        Run("meson", "setup", "--reconfigure", "build");
        Assert.NotEqual(first, Profile(Run("ninja", "-C", "build", "-v").Output));
    }

    [SkippableFact]
    public void Ninja_compiles_again_when_a_profile_that_is_named_changes_under_its_path_and_else_not()
    {
        Tool.Require("ninja");
        folder.Write("main.cpp", Source);
        folder.Write("build.ninja", Recipe("ninja"));
        folder.Write(
            "unnamed.ninja",
            Recipe("ninja").Replace(" | myservice.afdo", "", StringComparison.Ordinal)
                .Replace("main.o", "unnamed.o", StringComparison.Ordinal));
        Get();
        Assert.Contains("myservice.afdo", Run("ninja", "-v").Output, StringComparison.Ordinal);
        Run("ninja", "-f", "unnamed.ninja");
        Assert.DoesNotContain("myservice.afdo", Run("ninja", "-t", "deps").Output, StringComparison.Ordinal);
        Get();
        Assert.Contains("no work to do", Run("ninja").Output, StringComparison.Ordinal);

        service.NewProfileArrives();
        Get();
        Assert.Contains("no work to do", Run("ninja", "-f", "unnamed.ninja").Output, StringComparison.Ordinal);
        Assert.DoesNotContain("no work to do", Run("ninja").Output, StringComparison.Ordinal);

        void Get() => service.Perforator("pgo", "myservice", "-o", folder["myservice.afdo"]).Succeeded();
    }

    [SkippableFact]
    public void Ccache_misses_when_the_profile_changes_and_hits_when_it_does_not()
    {
        Tool.Require("ccache");
        folder.Write("main.cpp", Source);
        string recipe = Recipe("sh", containing: "ccache");
        Assert.Equal((0, 1), Statistics(() => Run("sh", "-c", recipe)));
        Assert.Equal((1, 1), Statistics(() => Run("sh", "-c", recipe)));
        service.NewProfileArrives();
        Assert.Equal((1, 2), Statistics(() => Run("sh", "-c", recipe)));
        Assert.Equal((2, 2), Statistics(() => Run("sh", "-c", recipe)));

        // Under one path too: ccache hashes what is in it.
        string[] fixedPath =
            ["ccache", "clang++-19", "-O2", "-g", $"-fprofile-sample-use={folder["p.afdo"]}", "-c", "-o", "main.o", "main.cpp"];
        service.Perforator("pgo", "myservice", "-o", folder["p.afdo"]).Succeeded();
        Assert.Equal((2, 3), Statistics(() => Run(fixedPath[0], fixedPath[1..])));
        Assert.Equal((3, 3), Statistics(() => Run(fixedPath[0], fixedPath[1..])));
        service.NewProfileArrives();
        service.Perforator("pgo", "myservice", "-o", folder["p.afdo"]).Succeeded();
        Assert.Equal((3, 4), Statistics(() => Run(fixedPath[0], fixedPath[1..])));
    }

    [SkippableFact]
    public void Cargo_builds_with_the_profile_and_again_when_it_changes()
    {
        Tool.Require("cargo");
        Directory.CreateDirectory(folder["src"]);
        folder.Write("Cargo.toml", "[package]\nname = \"myservice\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        folder.Write(
            "src/main.rs",
            "fn main() { println!(\"{}\", (0..std::env::args().count() as u32 * 1000).fold(1u32, |h, i| (h ^ i).wrapping_mul(16777619))); }\n");
        string recipe = Recipe("sh", containing: "cargo").Replace("cargo build", "cargo build --offline -v", StringComparison.Ordinal);
        string first = Profile(Run("sh", "-c", recipe).Error, "-Zprofile-sample-use=");
        Assert.Contains("Fresh", Run("sh", "-c", recipe).Error, StringComparison.Ordinal);
        service.NewProfileArrives();
        Assert.NotEqual(first, Profile(Run("sh", "-c", recipe).Error, "-Zprofile-sample-use="));
    }

    private (int Hits, int Misses) Statistics(Action compile)
    {
        compile();
        string statistics = Run("ccache", "--print-stats").Output;
        int Count(string name) => int.Parse(Regex.Match(statistics, $@"(?m)^{name}\t(\d+)$").Groups[1].Value);
        return (Count("direct_cache_hit") + Count("preprocessed_cache_hit"), Count("cache_miss"));
    }

    /// <summary>The profile that is named on the lines that compile.</summary>
    private static string Profile(string output, string option = "-fprofile-sample-use=") =>
        Assert.Single(
            Regex.Matches(output, Regex.Escape(option) + @"([^ '`""\n]+)").Select(static match => match.Groups[1].Value).Distinct());

    private ToolResult Run(string program, params string[] arguments) =>
        Tool.Run(program, arguments, folder: folder.Path, environment: service.Environment).Succeeded();

    /// <summary>A block of the guide, by the language that it says it is in.</summary>
    private static string Recipe(string language, string containing = "") =>
        Fenced().Matches(File.ReadAllText(Path.Combine(Tool.RepositoryRoot(), "docs", "guide.md")))
            .Single(block =>
                block.Groups["language"].Value == language
                    && block.Groups["text"].Value.Contains(containing, StringComparison.Ordinal)).Groups["text"].Value;

    [GeneratedRegex(@"(?ms)^```(?<language>[a-z]+)\n(?<text>.*?)^```$")]
    private static partial Regex Fenced();
}
