using System.Net;
using System.Text.Json;
using Perforator.Elf;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>Binaries as they are shipped: stripped, with debug info elsewhere, without a build id, compiled by others.</summary>
public sealed class ShippedBinariesTests(CasesTests.Files files) : IClassFixture<CasesTests.Files>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    private string Expected => File.ReadAllText(files["short-build-id", "expected_md5.txt"]);

    private string Recording => files["short-build-id", "new_md5.perf.data"];

    public void Dispose() => folder.Dispose();

    /// <summary>A stripped binary and its debug info.</summary>
    private (string Binary, string Debug) Split()
    {
        string whole = files["short-build-id", "prog_md5"], binary = folder["prog"], debug = folder["prog.debug"];
        Tool.Run("llvm-objcopy-19", ["--only-keep-debug", whole, debug]).Succeeded();
        Tool.Run("llvm-objcopy-19", ["--strip-debug", whole, binary]).Succeeded();
        return (binary, debug);
    }

    private static string BuildIdOf(string path)
    {
        using ElfFile elf = ElfFile.Load(path);
        return elf.BuildId.ToString();
    }

    [Fact]
    public void A_debug_file_in_place_of_the_binary_leads_to_it()
    {
        (string binary, string debug) = Split();
        Assert.Equal(Expected, Tool.Cli("generate", "--binary", debug, "--perf-data", Recording, "--format", "text").Succeeded().Output);
        File.Delete(binary);
        ToolResult result = Tool.Cli("generate", "--binary", debug, "--perf-data", Recording, "--format", "text");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"{debug} holds no code, only debug info: give the binary itself, and this file as its debug file", result.Error);
    }

    [Theory]
    [InlineData(".build-id/{0}/{1}.debug")]
    [InlineData("{0}/{1}.debug")]
    [InlineData("{0}{1}.debug")]
    [InlineData("prog.debug")]
    public void Debug_info_is_found_in_a_folder_by_build_id_or_name(string layout)
    {
        (string binary, string debug) = Split();
        string id = BuildIdOf(binary), store = folder["store"], target = Path.Combine(store, string.Format(layout, id[..2], id[2..]));
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        File.Move(debug, target);
        Assert.Equal(
            Expected, Tool.Cli("generate", "--binary", binary, "--debug-file", store, "--perf-data", Recording, "--format", "text")
                .Succeeded().Output);
    }

    /// <summary>Two debuginfod servers on loopback.</summary>
    /// <param name="urls">Their addresses as DEBUGINFOD_URLS has them.</param>
    private static HttpListener Listen(out string urls)
    {
        int port = Tool.FreePort();
        HttpListener server = new() { Prefixes = { $"http://127.0.0.1:{port}/" } };
        server.Start();
        urls = $"http://127.0.0.1:{port}/empty http://127.0.0.1:{port}";
        return server;
    }

    /// <summary>Answers two requests, the second with a file, and tells what was asked for.</summary>
    private static Task<List<string>> ServeSecondAsync(HttpListener server, byte[] content) => Task.Run(async () =>
    {
        List<string> asked = [];
        while (asked.Count < 2)
        {
            HttpListenerContext context = await server.GetContextAsync();
            asked.Add(context.Request.Url!.AbsolutePath);
            context.Response.StatusCode = asked.Count == 1 ? 404 : 200;
            if (asked.Count == 2)
                await context.Response.OutputStream.WriteAsync(content);
            context.Response.Close();
        }
        return asked;
    });

    /// <summary>A stripped binary in the server's store is given its debug info by debuginfod, once: then the store has it.</summary>
    [Fact]
    public async Task The_server_takes_debug_info_from_debuginfod_into_its_store()
    {
        (string binary, string debug) = Split();
        byte[] content = File.ReadAllBytes(debug);
        File.Delete(debug);
        using HttpListener debuginfod = Listen(out string urls);
        using ServerProcess server = ServerProcess.Start([], new Dictionary<string, string> { ["DEBUGINFOD_URLS"] = urls }, folder["data"]);
        Tool.Cli("import", Recording, "--service", "prog", "--binary", binary, "--server", server.Address.ToString()).Succeeded();
        Task<List<string>> serving = ServeSecondAsync(debuginfod, content);
        string[] arguments = ["pgo", "prog", "--server", server.Address.ToString(), "--format", "text", "-o"];
        Tool.Cli([.. arguments, folder["first"]]).Succeeded();
        Assert.Equal(Expected, File.ReadAllText(folder["first"]));
        string id = BuildIdOf(binary);
        Assert.Equal([$"/empty/buildid/{id}/debuginfo", $"/buildid/{id}/debuginfo"], await serving);
        debuginfod.Stop();
        // Another selection is another profile, made without asking again.
        Tool.Cli([.. arguments, folder["second"], "--half-life", "none"]).Succeeded();
        Assert.Equal(Expected, File.ReadAllText(folder["second"]));
    }

    /// <summary>Whoever builds does not wait each time for a debuginfod that has nothing, or is away.</summary>
    [Fact]
    public async Task The_server_asks_debuginfod_once_for_what_it_lacks()
    {
        (string binary, string debug) = Split();
        File.Delete(debug);
        using HttpListener debuginfod = Listen(out string urls);
        int asked = 0;
        Task serving = Task.Run(async () =>
        {
            while (true)
            {
                HttpListenerContext context = await debuginfod.GetContextAsync();
                context.Response.StatusCode = Interlocked.Increment(ref asked) == 1 ? 404 : 500;
                context.Response.Close();
            }
        });
        using ServerProcess server = ServerProcess.Start([], new Dictionary<string, string> { ["DEBUGINFOD_URLS"] = urls }, folder["data"]);
        Tool.Cli("import", Recording, "--service", "prog", "--binary", binary, "--server", server.Address.ToString()).Succeeded();
        foreach (string halfLife in (string[])["none", "1", "2"])
            Assert.Contains(
                "has no debug info", server.Cli("pgo", "prog", "--half-life", halfLife, "-o", folder["none"]).Error,
                StringComparison.Ordinal);
        debuginfod.Stop();
        await Assert.ThrowsAnyAsync<Exception>(() => serving);
        Assert.Equal(2, asked);
        Assert.Single(server.Error.Split('\n'), static line => line.Contains("did not give the debug info", StringComparison.Ordinal));
    }

    /// <summary>Fetched once, then from the cache; a server that has another file, or none, is named.</summary>
    [Fact]
    public async Task Debug_info_comes_from_debuginfod()
    {
        (string binary, string debug) = Split();
        byte[] content = File.ReadAllBytes(debug);
        File.Delete(debug);
        string id = BuildIdOf(binary);
        using HttpListener server = Listen(out string urls);
        Dictionary<string, string> environment = new() { ["DEBUGINFOD_URLS"] = urls, ["DEBUGINFOD_CACHE_PATH"] = folder["cache"] };
        Task<List<string>> serving = ServeSecondAsync(server, content);
        string[] arguments = ["generate", "--binary", binary, "--perf-data", Recording, "--format", "text"];
        Assert.Equal(Expected, Tool.Run(Tool.Perforator, arguments, environment: environment).Succeeded().Output);
        Assert.Equal([$"/empty/buildid/{id}/debuginfo", $"/buildid/{id}/debuginfo"], await serving);
        server.Stop();
        Assert.Equal(Expected, Tool.Run(Tool.Perforator, arguments, environment: environment).Succeeded().Output);
        environment["DEBUGINFOD_CACHE_PATH"] = folder["other"];
        ToolResult result = Tool.Run(Tool.Perforator, arguments, environment: environment);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("has no debug info", result.Error);
    }

    [Fact]
    public void A_binary_without_a_build_id_is_said_to_have_none()
    {
        string bare = folder["prog_md5"];
        Tool.Run("llvm-objcopy-19", ["--remove-section=.note.gnu.build-id", files["short-build-id", "prog_md5"], bare]).Succeeded();
        string report =
            Tool.Cli("generate", "--binary", bare, "--recorded-as", "prog_md5", "--perf-data", Recording, "--format", "text")
                .Succeeded().Error;
        Assert.Contains($"{bare} has no build id (its identity here is a hash of its content)", report);
        Assert.Contains("-Wl,--build-id", report);
    }

    /// <summary>Told when it is recorded, and not when a build wants its profile.</summary>
    [Fact]
    public void What_a_binary_lacks_is_said_where_it_is_recorded_and_by_services()
    {
        string source =
            folder.Write(
                "a.c", "int main(int c, char **v) { volatile int s = 0; for (int i = 0; i < c * 400000000; i++) s += i % 3 ? 2 : 1; return s == 42; }");
        string stripped = folder["stripped"], bare = folder["bare"];
        Tool.Run("clang-19", ["-O1", "-s", "-Wl,--build-id", source, "-o", stripped]).Succeeded();
        Tool.Run("clang-19", ["-O1", "-g", "-Wl,--build-id=none", source, "-o", bare]).Succeeded();
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        string[] record = ["record", "--source", "software", "--max-overhead", "100%", "--server", server.Address.ToString(), "--service"];
        Assert.Contains(
            $"warning: {stripped} has no debug info, so no profile can be made of it: build with -g",
            Tool.Cli([.. record, "stripped", "--", stripped]).Succeeded().Error);
        Assert.Contains($"warning: {bare} has no build id", Tool.Cli([.. record, "bare", "--", bare]).Succeeded().Error);

        ToolResult services = server.Cli("services", "stripped").Succeeded();
        Assert.Contains("no debug info", services.Output);
        Assert.Contains("send the debug file that was split off it: perforator binaries put FILE", services.Error);
        services = server.Cli("services", "bare").Succeeded();
        Assert.Contains("none, content ", services.Output);
        Assert.Contains("known by a hash of its content", services.Error);
    }

    /// <summary>Half of the code is of a compiler that has no use for the profile: the report says of which.</summary>
    [SkippableFact]
    public void Code_of_other_compilers_is_told_by_name()
    {
        Tool.Require("gcc");
        string clang =
            folder.Write(
                "a.c", "int other(int); int work(int n) { int s = 0; for (int i = 0; i < n; i++) s += i % 3 ? other(i) : i; return s; } int main(int c, char **v) { return work(c * 100000000) == 42; }");
        string gcc = folder.Write("b.c", "int other(int n) { int s = 1; for (int i = 0; i < n % 7; i++) s = s * 5 + i; return s; }");
        string binary = folder["mixed"], data = folder["mixed.perf.data"];
        Tool.Run("clang-19", ["-O1", "-g", "-c", clang, "-o", folder["a.o"]]).Succeeded();
        Tool.Run("gcc", ["-O1", "-g", "-c", gcc, "-o", folder["b.o"]]).Succeeded();
        Tool.Run("clang-19", ["-Wl,--build-id", folder["a.o"], folder["b.o"], "-o", binary]).Succeeded();
        Tool.Cli("record", "--source", "software", "--max-overhead", "100%", "-o", data, "--", binary).Succeeded();
        ToolResult result = Tool.Cli("generate", "--binary", binary, "--perf-data", data, "--format", "text", "--json").Succeeded();
        JsonElement report = JsonDocument.Parse(result.Error).RootElement;
        Assert.InRange(report.GetProperty("usableShare").GetDouble(), 0.001, 0.98);
        Assert.NotEmpty(report.GetProperty("compiler").GetString()!);
        Assert.Contains(
            report.GetProperty("notes").EnumerateArray(),
            note => note.GetString()!.Contains("that clang did not compile (mostly ", StringComparison.Ordinal));

        // The service's report says so too.
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        server.Cli("import", data, "--service", "mixed", "--binary", binary).Succeeded();
        Assert.Contains(
            "that clang did not compile (mostly ", server.Cli("pgo", "mixed", "--report", "-o", folder["afdo"]).Succeeded().Error);
        Assert.Equal(3, server.Cli("pgo", "mixed", "--min-coverage", "0.99", "-o", folder["gated"]).ExitCode);
    }

    /// <summary>Nothing usable is an error, not an empty profile.</summary>
    [Fact]
    public void A_profile_that_would_be_empty_is_refused()
    {
        string counts = folder.Write("counts.txt", "B 1 2 5 0\nF 2 3 5\n");
        ToolResult result =
            Tool.Cli("generate", "--binary", files["short-build-id", "prog_md5"], "--perf-script", counts, "--format", "text");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("so that the profile would be empty", result.Error);
        Assert.Equal("", result.Output);
    }

    [Fact]
    public void Profiles_are_compared_under_either_name()
    {
        string profile = files["short-build-id", "expected_md5.txt"];
        Assert.Equal(
            Tool.Cli("profile", "overlap", profile, profile).Succeeded().Output,
            Tool.Cli("profile", "compare", profile, profile).Succeeded().Output);
        Assert.Equal(2, Tool.Cli("profile", "contrast", profile, profile).ExitCode);
    }
}
