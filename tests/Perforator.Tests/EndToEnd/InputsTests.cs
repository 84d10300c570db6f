using System.Text.Json;
using Perforator.Api;
using Perforator.Benchmarks;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.PerfData;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.PerfData;

namespace Perforator.Tests.EndToEnd;

/// <summary>Files of other tools through the real CLI.</summary>
public sealed class InputsTests(WalkedProgram program) : IClassFixture<WalkedProgram>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private string Generate(params string[] inputs)
    {
        string output = folder[$"{Guid.NewGuid():N}.txt"];
        ToolResult result = Tool.Cli(["generate", "--binary", program.Binary, .. inputs, "--format", "text", "-o", output]).Succeeded();
        File.WriteAllText(output + ".report", result.Error);
        return output;
    }

    [SkippableFact]
    public void From_perf_data_the_profile_is_llvm_profgens()
    {
        Tool.Require("perf");
        string peer = folder["peer.txt"], script = folder["script.txt"];
        Tool.Run("llvm-profgen-19", ["--perfdata", program.OneProcess, "--binary", program.Binary, "--format", "text", "-o", peer])
            .Succeeded();
        File.WriteAllText(
            script, Tool.Run("perf", ["script", "-i", program.OneProcess, "-F", "ip,brstack", "--show-mmap-events"]).Succeeded().Output);
        string ours = File.ReadAllText(Generate("--perf-data", program.OneProcess));
        Assert.Equal(File.ReadAllText(peer), ours);
        Assert.Equal(ours, File.ReadAllText(Generate("--perf-script", script)));

        // Three processes at three addresses that took the same branches together: the peer loses those of two (llvm-project issue 164581).
        Assert.Equal(ours, File.ReadAllText(Generate("--perf-data", program.PerfData)));
    }

    /// <summary>What CPUs put into stacks besides branches counts alike, whether perf printed it or not.</summary>
    [SkippableTheory]
    [InlineData(true)]
    [InlineData(false)]
    public void Text_and_perf_data_of_one_recording_give_the_same_bytes(bool onlyInterrupts)
    {
        Tool.Require("perf");
        string data = folder["disturbed.perf.data"], text = folder["disturbed.txt"], script = folder["script.txt"];
        DisturbedStacks disturbed;
        using (FileStream file = File.Create(data))
        using (PerfDataWriter writer = new(file))
        {
            disturbed = new(writer, onlyInterrupts);
            new BranchWalker(program.Elf).Feed(disturbed, program.Binary, WalkedProgram.Samples, program.Processes[..1]);
            writer.Complete();
        }
        File.WriteAllText(text, disturbed.Text.ToString());
        string ours = File.ReadAllText(Generate("--perf-data", data)), undisturbed = File.ReadAllText(
            Generate("--perf-data", program.OneProcess));
        Assert.NotEqual(undisturbed, ours);
        Assert.Equal(ours, File.ReadAllText(Generate("--perf-script", text)));

        // Debian's perf prints the type but not the speculation.
        File.WriteAllText(script, Tool.Run("perf", ["script", "-i", data, "-F", "ip,brstack", "--show-mmap-events"]).Succeeded().Output);
        Assert.Contains("/IRQ ", File.ReadAllText(script));
        if (onlyInterrupts)
            Assert.Equal(ours, File.ReadAllText(Generate("--perf-script", script)));
    }

    /// <summary>Entries that did not happen are as if they were not there.</summary>
    [Fact]
    public void Wrong_paths_and_branches_not_taken_change_nothing()
    {
        BranchAggregator with = new(new WalkedProgram.Resolver(program.Module)), without = new(new WalkedProgram.Resolver(program.Module));
        program.Feed(new DisturbedStacks(with, onlyInterrupts: false) { LeavesOutInterrupts = true });
        program.Feed(without);
        Assert.NotEqual(0UL, with.Losses[BranchAggregator.WrongPath]);
        Assert.NotEqual(0UL, with.Losses[BranchAggregator.BranchNotTaken]);
        Assert.Equal(without.Profiles.Values.Single().Ranges.Sorted(), with.Profiles.Values.Single().Ranges.Sorted());
        Assert.Equal(without.Profiles.Values.Single().Branches.Sorted(), with.Profiles.Values.Single().Branches.Sorted());
    }

    [SkippableFact]
    public void Without_branch_stacks_sampled_addresses_give_a_profile_marked_as_such()
    {
        Tool.Require("perf");
        string data = folder["clock.perf.data"];
        PerfRecord.Run(folder, "-e", "cpu-clock:u", "-F", "2000", "-o", data, "--", program.Binary, "8000000");
        string output = Generate("--perf-data", data);
        string profile = File.ReadAllText(output), report = File.ReadAllText(output + ".report");
        Assert.Contains("fold:", profile);
        Assert.Contains("samples without branch stacks, 0 of them with exact addresses", report);
        Assert.Contains("Lower quality", report);
        Assert.Contains("perforator record", report);
        Tool.Run("llvm-profdata-19", ["show", "--sample", output]).Succeeded();
    }

    /// <summary>
    /// Of several events one is chosen, and the report says which; --event takes another, by the name that perf has for it.
    /// </summary>
    [SkippableFact]
    public void Of_several_events_the_one_asked_for_counts()
    {
        Tool.Require("perf");
        string data = folder["events.perf.data"], script = folder["events.txt"];
        PerfRecord.Run(folder, "-e", "{page-faults:u,cpu-clock:u,task-clock:u}", "-F", "997", "-o", data, "--", program.Binary, "8000000");
        string all = Report(), clock = Report("--event", "cpu-clock"), task = Report("--event", "task-clock:u");
        Assert.Contains("samples of cpu-clock:u and task-clock:u count, of 3 events; --event takes another", all);
        Assert.Equal(Samples(all), Samples(clock) + Samples(task));
        Assert.NotEqual(0, Samples(task));
        ToolResult result =
            Tool.Cli("generate", "--binary", program.Binary, "--perf-data", data, "--event", "cycles", "-o", folder["none"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("has no event cycles; those it has: page-faults:u, cpu-clock:u, task-clock:u", result.Error);

        // Text: the event stands before the address.
        string fold =
            program.Elf.Symbols.Symbols.ToArray().Where(s => program.Elf.Symbols.Name(s) == "fold").Select(s => $"{s.Address.Value:x}")
                .Single();
        folder.Write(
            "events.txt",
            $"a 7/7 1.0: 1 cycles:u: {fold} 0x{fold}/0x{fold}/P/-/-/0\na 7/7 1.0: 1 branches:u: {fold} 0x{fold}/0x{fold}/P/-/-/0\n");
        Assert.Equal(
            1, Samples(Tool.Cli("generate", "--binary", program.Binary, "--perf-script", script, "--event", "branches", "--format", "text")
                .Succeeded().Error));
        Assert.Contains(
            "print the events with -F +event",
            Tool.Cli("generate", "--binary", program.Binary, "--perf-script", script, "--event", "instructions", "-o", folder["none"]).Error);

        string Report(params string[] options) => File.ReadAllText(Generate(["--perf-data", data, .. options]) + ".report");
        static int Samples(string report) =>
            int.Parse(report.Split('\n').Single(line => line.StartsWith("TotalSamples: ", StringComparison.Ordinal))[14..]);
    }

    [Fact]
    public void Recordings_of_another_build_and_of_other_programs_are_refused_by_name()
    {
        string other = folder["program"];
        string source =
            folder.Write(
                "other.c", "int main(int argc, char **argv) { volatile int s = 0; for (int i = 0; i < argc * 100; i++) s += i; return 0; }");
        Tool.Run("clang-19", ["-O2", "-g", "-fuse-ld=lld", "-Wl,--build-id=sha1", "-o", other, source]).Succeeded();
        ToolResult result = Tool.Cli("generate", "--binary", other, "--perf-data", program.OneProcess, "-o", folder["none"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"is of another build of {other}", result.Error);
        Assert.Contains(program.Elf.BuildId.ToString(), result.Error);

        result = Tool.Cli("generate", "--binary", other, "--perf-data", other, "-o", folder["none"]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"{other} cannot be read as perf.data: not a perf.data file", result.Error);
        Assert.False(File.Exists(folder["none"]));
    }

    [SkippableFact]
    public void What_is_recorded_as_perf_data_feeds_llvm_profgen_and_ourselves_alike()
    {
        Tool.Require("perf");
        string data = folder["recorded.perf.data"], peer = folder["peer.txt"];
        Tool.Cli("record", "--source", "software", "--max-overhead", "100%", "-o", data, "--", program.Binary, "8000000").Succeeded();
        Assert.Empty(Directory.GetFiles(folder.Path, "*.part"));
        string ours = File.ReadAllText(Generate("--perf-data", data));
        Tool.Run("llvm-profgen-19", ["--perfdata", data, "--binary", program.Binary, "--format", "text", "-o", peer]).Succeeded();
        Assert.Equal(File.ReadAllText(peer), ours);
        Assert.Contains("fold", ours);
        string script =
            Tool.Run("perf", ["script", "-i", data, "-F", "ip,brstack", "--show-mmap-events", "--show-task-events"]).Succeeded().Output;
        Assert.Contains(program.Binary, script);
        Assert.Contains("/-/-/-/0", script);
    }

    [Fact]
    public void Import_files_every_kind_under_the_service_and_again_changes_nothing()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        string branches = folder["some.branches"], text = folder.Write("perf.txt", "garbage\nmore garbage\n");
        BranchAggregator aggregator = new(new WalkedProgram.Resolver(program.Module));
        program.Feed(aggregator);
        BranchProfileSet set =
            new() { Labels = { [ProfileLabels.Service] = "other" }, Start = DateTimeOffset.UtcNow, End = DateTimeOffset.UtcNow };
        set.Add(aggregator);
        BranchProfileCodec.Write(branches, set);

        ToolResult result = server.Cli("import", program.PerfData, branches, "--service", "search", "--binary", program.Binary).Succeeded();
        Assert.Contains(
            $"{program.PerfData}: 2,000 samples, {aggregator.Profiles.Values.Single().BranchEntries:N0} branches in 1 binaries",
            result.Error);
        Assert.Contains($"sent the binary {program.Binary} ({program.Elf.BuildId})", result.Error);
        Assert.Contains("the server had it already", server.Cli("import", program.PerfData, "--service", "search").Succeeded().Error);

        ServiceDetail detail =
            JsonSerializer.Deserialize(server.Cli("services", "search", "--json").Succeeded().Output, ApiJson.Default.ServiceDetail)!;
        Assert.Equal(program.Elf.BuildId.ToString(), Assert.Single(detail.Builds).BuildId);

        // One bad file among good ones, and nothing is sent.
        result = server.Cli("import", branches, text, "--service", "fresh");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains($"{text} has no samples", result.Error);
        Assert.DoesNotContain("fresh", server.Cli("services").Succeeded().Output);
    }

    [SkippableFact]
    public void Import_takes_every_form_that_generate_takes_and_pgo_marks_what_is_of_lower_quality()
    {
        Tool.Require("perf");
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        BranchAggregator aggregator = new(new WalkedProgram.Resolver(program.Module));
        program.Feed(aggregator);
        BranchProfile branches = aggregator.Profiles.Values.Single();
        string script = folder["script.txt"], bolt = folder["bolt.txt"], autofdo = folder["autofdo.txt"], clock = folder["clock.perf.data"];
        File.WriteAllText(
            script, Tool.Run("perf", ["script", "-i", program.OneProcess, "-F", "ip,brstack", "--show-mmap-events"]).Succeeded().Output);
        PairCount[] inside = [.. branches.Branches.Sorted()
            .Where(pair => !pair.First.IsExternal && !pair.Second.IsExternal)], ranges = branches.Ranges.Sorted();
        File.WriteAllLines(bolt, [.. inside.Select(pair => $"B {pair.First.Value:x} {pair.Second.Value:x} {pair.Count} {pair.Extra}"),
            .. ranges.Select(pair => $"F {pair.First.Value:x} {pair.Second.Value:x} {pair.Count}")]);
        File.WriteAllLines(autofdo, [$"{ranges.Length}",
            .. ranges.Select(pair => $"{pair.First.Value:x}-{pair.Second.Value:x}:{pair.Count}"), "0",
            $"{inside.Length}", .. inside.Select(pair => $"{pair.First.Value:x}->{pair.Second.Value:x}:{pair.Count}")]);
        PerfRecord.Run(folder, "-e", "cpu-clock:u", "-F", "2000", "-o", clock, "--", program.Binary, "4000000");

        foreach (string counts in new[] { bolt, autofdo })
            Assert.Contains($"{counts} holds counts by address, which do not say of which binary: name that one with --binary",
                server.Cli("import", counts, "--service", "counts").Error);
        string[] profiles = [.. new[] { script, bolt, autofdo }.Select(file =>
        {
            string service = Path.GetFileNameWithoutExtension(file);
            server.Cli("import", file, "--service", service, "--binary", program.Binary).Succeeded();
            return Pgo(service).Profile;
        })];
        Assert.Contains("fold:", profiles[0]);
        Assert.Equal(profiles[1], profiles[2]);
        Assert.Equal(profiles[1], File.ReadAllText(Generate("--perf-script", bolt)));

        server.Cli("import", clock, "--service", "clock", "--binary", program.Binary).Succeeded();
        (string profile, string report) = Pgo("clock");
        Assert.Contains("fold:", profile);
        Assert.Contains("Lower quality", report);
        Assert.Contains("perforator record, whose software recorder needs no such CPU", report);
        Assert.Contains(
            " samples without branch stacks, 0 of them with exact addresses; the others' may lie some instructions late", report);

        (string Profile, string Report) Pgo(string service)
        {
            string output = folder[service + ".afdo"];
            ToolResult result = server.Cli("pgo", service, "--report", "--format", "text", "-o", output).Succeeded();
            return (File.ReadAllText(output), result.Error);
        }
    }

    /// <summary>Also where the server adds up several uploads, and where the profile is generated here.</summary>
    [Fact]
    public void Pgo_tells_exact_addresses_from_those_that_skid()
    {
        using ServerProcess server = ServerProcess.Start(folder["data"]);
        PerfEventAttributes cycles = new() { SampleType = PerfSampleType.PERF_SAMPLE_IP | PerfSampleType.PERF_SAMPLE_TID };
        ulong address = program.Elf.Symbols.Symbols.ToArray().Single(symbol => program.Elf.Symbols.Name(symbol) == "fold").Address.Value;
        LoadSegment code = program.Elf.LoadSegments.Single(segment => segment.IsExecutable);
        byte[] mapping = RecordBytes.Mmap2(7, code.Address.Value, code.FileSize, code.Offset.Value, program.Binary, protection: 5);
        string Import(string service, int exact, int late)
        {
            string file = folder[$"{service}-{exact}-{late}"];
            File.WriteAllBytes(
                file, PerfDataBytes.File(
                    [(cycles, [1])],
                    [mapping, .. Samples(exact, PerfRecordMisc.PERF_RECORD_MISC_EXACT_IP), .. Samples(late, PerfRecordMisc.None)]));
            server.Cli("import", file, "--service", service, "--binary", program.Binary).Succeeded();
            return server.Cli("pgo", service, "--report", "-o", folder["afdo"]).Succeeded().Error;
        }

        IEnumerable<byte[]> Samples(int count, PerfRecordMisc exact) => Enumerable.Repeat(
            new RecordBytes(PerfRecordType.PERF_RECORD_SAMPLE, PerfRecordMisc.PERF_RECORD_MISC_USER | exact).U64(address).U32(7, 7)
                .ToArray(), count);

        string exactly = Import("exact", 30, 0);
        Assert.Contains(" 30 samples without branch stacks, 30 of them with exact addresses\n", exactly);
        Assert.Contains("software recorder", exactly);
        Import("mixed", 30, 0);
        string mixed = "42 samples without branch stacks, 30 of them with exact addresses; the others' may lie some instructions late";
        Assert.Contains(mixed, Import("mixed", 0, 12));
        Assert.Contains(mixed, server.Cli("pgo", "mixed", "--report", "--binary", program.Binary, "-o", folder["afdo"]).Succeeded().Error);
        using JsonDocument json = JsonDocument.Parse(server.Cli("pgo", "mixed", "--json", "-o", folder["afdo"]).Succeeded().Error);
        JsonElement generation = json.RootElement.GetProperty("files")[0].GetProperty("builds")[0].GetProperty("generation");
        Assert.Equal(
            (42, 30), (generation.GetProperty("addressSamples").GetInt32(), generation.GetProperty("exactAddressSamples").GetInt32()));

        // Beside branch stacks addresses are of no use.
        server.Cli("import", program.PerfData, "--service", "mixed", "--binary", program.Binary).Succeeded();
        Assert.Contains(
            "42 samples without branch stacks, 30 of them with exact addresses: not used beside branch stacks",
            server.Cli("pgo", "mixed", "--report", "-o", folder["afdo"]).Succeeded().Error);
    }

    [Theory]
    [InlineData("", "no known kind")]
    [InlineData("\u0001\0binary", "no known kind")]
    [InlineData("PERFILE2", "cannot be read as perf.data")]
    [InlineData("PERFILE2\u0010\0\0\0\0\0\0\0", "no samples that can be used")]
    [InlineData("\u001f\u008b\b\0\0", "pprof")]
    [InlineData("hello world\n", "no samples")]
    [InlineData(" 10a0\n 20b0\n", "no branch stacks")]
    [InlineData("B 1 2 x y\n", "no samples that can be used")]
    public void Import_of_what_is_none_says_so_in_a_line_and_sends_nothing(string content, string says)
    {
        string file = folder["input"];
        File.WriteAllBytes(file, System.Text.Encoding.Latin1.GetBytes(content));

        // No server is there: a bad file is refused before one is asked.
        ToolResult result = Tool.Cli("import", file, "--service", "search", "--binary", program.Binary, "--server", "http://127.0.0.1:9");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains(says, result.Error);
        Assert.Contains(file, result.Error);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }
}
