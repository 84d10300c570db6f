using Perforator.Benchmarks;
using Perforator.Branches;
using Perforator.PerfData;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.PerfData;

/// <summary>Files cut anywhere and damaged in thousands of ways: an error that says what is wrong, or counted drops.</summary>
public sealed class DamagedPerfDataTests(WalkedProgram program) : IClassFixture<WalkedProgram>, IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private void Read(byte[] file) =>
        new PerfDataReader(new BranchAggregator(new WalkedProgram.Resolver(program.Module))).Read(new MemoryStream(file));

    [Fact]
    public void Branch_stacks()
    {
        using MemoryStream file = new();
        using PerfDataWriter writer = new(file);
        new BranchWalker(program.Elf, seed: 5).Feed(writer, program.Binary, 40, program.Processes);
        writer.OnFork(5000, 4001);
        writer.OnExec(5000);
        writer.OnExit(5000);
        writer.Complete();
        DamageSweep.Run(file.ToArray(), Read, damages: 3000);
    }

    [SkippableTheory]
    [InlineData("file", "-e cpu-clock -e task-clock -g")]
    [InlineData("compressed", "-z -e cpu-clock")]
    [InlineData("pipe", "-e cpu-clock")]
    public void Real_files(string mode, string arguments)
    {
        Tool.Require("perf");
        string path = folder[mode];
        string[] command = ["-c", "1000000", .. arguments.Split(' '), "--", "awk", "BEGIN { for (i = 0; i < 300000; i++) s += i }"];
        if (mode == "pipe")
            PerfRecord.RunPiped(folder, path, command);
        else
            PerfRecord.Run(folder, ["-o", path, .. command]);
        DamageSweep.Run(File.ReadAllBytes(path), Read, damages: 800);
    }

    [Fact]
    public void A_cut_file_gives_all_that_came_before()
    {
        byte[] file = File.ReadAllBytes(program.OneProcess);
        SinkLog whole = new(), cut = new();
        new PerfDataReader(whole).Read(new MemoryStream(file));
        new PerfDataReader(cut).Read(new MemoryStream(file[..(file.Length / 2)]));
        Assert.Equal(1UL, cut.Losses[PerfDataReader.Truncated]);
        Assert.True(cut.Lines.Count > whole.Lines.Count / 3);
        // But for the mapping's build id, which stands at the file's end.
        Assert.Equal(whole.Lines.Skip(1).Take(cut.Lines.Count - 1), cut.Lines.Skip(1));
    }

    [Fact]
    public void A_record_of_length_zero_ends_reading_and_is_counted()
    {
        byte[] file = File.ReadAllBytes(program.OneProcess);
        ulong data = BitConverter.ToUInt64(file, 40);
        int second = (int)data + BitConverter.ToUInt16(file, (int)data + 6);
        file[second + 6] = file[second + 7] = 0;
        SinkLog log = new();
        new PerfDataReader(log).Read(new MemoryStream(file));
        Assert.Equal(1UL, log.Losses[PerfDataReader.Damaged]);
        Assert.True(log.Lines.Count <= 1);
    }

    [Theory]
    [InlineData("2ELIFREP", "big-endian")]
    [InlineData("PERFFILE", "2009")]
    [InlineData("GARBAGE!", "not a perf.data file")]
    public void Files_of_other_kinds_are_refused_by_name(string magic, string says)
    {
        byte[] file = File.ReadAllBytes(program.OneProcess);
        System.Text.Encoding.ASCII.GetBytes(magic).CopyTo(file, 0);
        string path = folder["other.perf.data"];
        File.WriteAllBytes(path, file);
        UserErrorException e = Assert.Throws<UserErrorException>(() => new PerfDataReader(new SinkLog()).ReadFile(path));
        Assert.Contains(says, e.Message);
        Assert.Contains(path, e.Message);
    }

    [Theory]
    [InlineData(8, 50UL)] // header size
    [InlineData(16, 3UL)] // attribute size
    [InlineData(16, ulong.MaxValue)]
    [InlineData(24, ulong.MaxValue - 7)] // attributes' offset
    [InlineData(32, ulong.MaxValue)] // attributes' size
    [InlineData(32, 0UL)]
    [InlineData(40, ulong.MaxValue)] // data offset
    public void Header_sizes_that_lie_are_refused(int offset, ulong value)
    {
        byte[] file = File.ReadAllBytes(program.OneProcess);
        BitConverter.GetBytes(value).CopyTo(file, offset);
        Assert.Throws<Perforator.Bytes.MalformedInputException>(() => new PerfDataReader(new SinkLog()).Read(new MemoryStream(file)));
    }

    [Fact]
    public void A_data_size_beyond_the_file_reads_what_is_there()
    {
        byte[] file = File.ReadAllBytes(program.OneProcess);
        BitConverter.GetBytes(ulong.MaxValue).CopyTo(file, 48);
        SinkLog log = new();
        Assert.Equal(WalkedProgram.Samples, (int)new PerfDataReader(log).Read(new MemoryStream(file)).BranchSamples);
    }
}
