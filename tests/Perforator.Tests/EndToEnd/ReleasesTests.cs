using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>
/// A service of a program, two libraries and a plugin, in three releases with moved code, recorded for real by the software recorder. What
/// is gained is counted in executed instructions (callgrind), which no other load of the machine changes.
/// </summary>
public sealed class ReleasesTests(ReleasesTests.Service service) : IClassFixture<ReleasesTests.Service>
{
    /// <summary>The service's releases, built once and recorded once each.</summary>
    public sealed class Service : IDisposable
    {
        private const string Rounds = "20000000";
        private static readonly string[] Libraries = ["parse", "score", "plugin"];

        private readonly TemporaryFolder folder = new();

        public Service()
        {
            Server = ServerProcess.Start(folder["data"]);
            for (int release = 1; release <= 3; release++)
            {
                string program = Build(release, $"r{release}", "");
                // One service of the older releases, one of the newest, and one of all.
                foreach (string name in new[] { release < 3 ? "older" : "newest", "all" })
                    Tool.Cli("record", "--server", Server.Address.ToString(), "--max-overhead", "50%", "--service", name, "--", program, Rounds).Succeeded();
            }
        }

        internal ServerProcess Server { get; }

        /// <summary>Gets a service's profile.</summary>
        internal string Profile(string name, params string[] options) => Tool.Run(
            Tool.Perforator, ["pgo", name, "--server", Server.Address.ToString(), .. options],
            environment: new Dictionary<string, string> { ["XDG_CACHE_HOME"] = folder["cache"] }).Succeeded().Output.Trim();

        /// <summary>Builds the newest release with a profile, or without one, and counts the instructions that it executes.</summary>
        internal double Instructions(string name, string flags)
        {
            string program = Build(3, name, flags);
            string log =
                Tool.Run("valgrind", ["--tool=callgrind", $"--callgrind-out-file={folder[name + ".out"]}", program, "400000"])
                    .Succeeded().Error;
            return double.Parse(Regex.Match(log, @"Collected : (\d+)").Groups[1].Value, CultureInfo.InvariantCulture);
        }

        /// <summary>
        /// A file's source: a hot loop calls a function that is too large for -O2 to inline, but for code that never runs. A newer release
        /// has functions before it, and one of the files lines in it.
        /// </summary>
        private static string Source(string name, int release)
        {
            string more =
                string.Concat(
                    Enumerable.Range(1, release - 1)
                        .Select(i => $"// release {i + 1}\nint {name}_added_{i}(int x) {"{"} return x * {i} + 7; {"}"}\n\n"));
            // The loop itself has moved within its function in one of the files, a twelfth of the work: those counts find no place.
            string inside = name == "score" ? string.Concat(Enumerable.Range(1, release - 1).Select(static _ => "\n    // moved\n")) : "";
            string cold = string.Concat(Enumerable.Range(0, 24).Select(static k =>
                $"        x = (x << {1 + (k % 7)} | x >> {3 + (k % 11)}) * {(2 * k) + 3}u + op->add; if (x & {1 << (k % 20)}u) x ^= op->mul + {k};\n"));
            return $$"""
                {{more}}struct {{name}}_op { unsigned kind, shift, mul, add; };
                static unsigned {{name}}_apply(const {{name}}_op *op, unsigned h, unsigned i)
                {
                    unsigned x = (h ^ i) * op->mul + (h >> (op->shift & 31)) + op->add;
                    if (op->kind != 0)
                    {
                {{cold}}    }
                    return x;
                }
                {{name}}_op {{name}}_ops[2] = { { 0, 7, 16777619u, 3 }, { 1, 3, 5, 7 } };
                extern "C" __attribute__((visibility("default"), noinline)) unsigned {{name}}_run(unsigned rounds)
                {
                    unsigned h = 1;
                {{inside}}
                    for (unsigned i = 0; i < rounds; i++)
                        h = {{name}}_apply(&{{name}}_ops[0], h, i);
                    return rounds == 0 ? {{name}}_apply(&{{name}}_ops[1], h, 1) : h;
                }
                """;
        }

        private string Build(int release, string name, string flags)
        {
            Directory.CreateDirectory(folder[name]);
            string[] common =
                ["-O2", "-g", "-fdebug-info-for-profiling", "-fuse-ld=lld-19", "-Wl,--build-id", .. flags.Split(
                    ' ', StringSplitOptions.RemoveEmptyEntries)];
            foreach (string library in Libraries)
                Tool.Run("clang++-19", [.. common, "-shared", "-fPIC", "-o", folder[$"{name}/lib{library}.so"], folder.Write(
                    $"{name}/{library}.cpp", Source(library, release))]).Succeeded();
            string main = Source("program", release) + """

                #include <cstdio>
                #include <cstdlib>
                #include <dlfcn.h>
                #include <string>
                extern "C" unsigned parse_run(unsigned rounds);
                extern "C" unsigned score_run(unsigned rounds);
                int main(int, char **arguments)
                {
                    std::string folder(arguments[0]);
                    void *plugin = dlopen((folder.substr(0, folder.rfind('/')) + "/libplugin.so").c_str(), RTLD_NOW);
                    auto run = reinterpret_cast<unsigned (*)(unsigned)>(dlsym(plugin, "plugin_run"));
                    unsigned h = 0;
                    for (unsigned i = 0, n = std::atoi(arguments[1]) / 100; i < n; i++)
                        h += program_run(400) ^ parse_run(400) ^ score_run(100) ^ run(300);
                    std::printf("%u\n", h);
                    return 0;
                }
                """;
            Tool.Run("clang++-19",
                [.. common, "-o", folder[$"{name}/service"], folder.Write($"{name}/main.cpp", main), "-L", folder[name], "-lparse", "-lscore", "-ldl", $"-Wl,-rpath,{folder[name]}"]).Succeeded();
            return folder[$"{name}/service"];
        }

        public void Dispose()
        {
            Server.Dispose();
            folder.Dispose();
        }
    }

    [Fact]
    public void The_profile_is_of_all_files_and_the_sum_of_what_each_of_them_gives()
    {
        string[] whole = ["--format", "text", "--half-life", "none"];
        string all = service.Profile("all", whole), text = File.ReadAllText(all);
        foreach (string file in new[] { "program", "parse", "score", "plugin" })
            Assert.Matches($"(?m)^{file}_run:[1-9]", text);
        string[] parts =
            [.. new[] { "service", "libparse.so", "libscore.so", "libplugin.so" }.Select(
                file => service.Profile("all", [.. whole, "--only", file]))];
        Assert.Equal(4, parts.Distinct().Count());
        using TemporaryFolder folder = new();
        Tool.Run("llvm-profdata-19", ["merge", "--sample", "--text", "-o", folder["merged"], .. parts]).Succeeded();
        Assert.Equal(File.ReadAllText(folder["merged"]), text);

        using JsonDocument detail = JsonDocument.Parse(service.Server.Cli("services", "all", "--json").Succeeded().Output);
        Assert.True(detail.RootElement.GetProperty("builds").GetArrayLength() >= 12);
    }

    [SkippableFact]
    public void A_new_release_compiled_with_the_profile_of_the_older_ones_keeps_most_of_the_gain_of_its_own()
    {
        Tool.Require("valgrind");
        double without = service.Instructions("without", "");
        double own = without - service.Instructions("own", $"-fprofile-sample-use={service.Profile("newest")}");
        double older = without - service.Instructions("withOlder", $"-fprofile-sample-use={service.Profile("older")}");
        Assert.True(own > 0.05 * without, $"its own profile saves {own:0} of {without:0} instructions");
        Assert.True(older >= 0.8 * own, $"the profile of the older releases saves {older:0} instructions, its own {own:0}");
    }
}
