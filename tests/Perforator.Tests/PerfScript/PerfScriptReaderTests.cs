using System.Text;
using Perforator.Branches;
using Perforator.PerfScript;

namespace Perforator.Tests.PerfScript;

public class PerfScriptReaderTests
{
    /// <summary>Keeps what a reader says, as text.</summary>
    private sealed class Transcript : IBranchSink
    {
        public List<string> Lines { get; } = [];

        public LossCounts Losses { get; } = new();

        public void OnMapping(Mapping mapping) =>
            Lines.Add($"map {mapping.ProcessId} {mapping.Start} {mapping.Length:x} {mapping.Offset} {mapping.Path} {mapping.BuildId}".TrimEnd());

        public void OnFork(int processId, int parentProcessId) => Lines.Add($"fork {processId} {parentProcessId}");

        public void OnExec(int processId) => Lines.Add($"exec {processId}");

        public void OnExit(int processId) => Lines.Add($"exit {processId}");

        public void OnSample(in BranchSample sample)
        {
            StringBuilder line = new($"{sample.InstructionPointer} x{sample.Weight}");
            foreach (BranchEntry entry in sample.Stack)
                line.Append($" {entry.From}>{entry.To}{(entry.Flags == 0 ? "" : $":{entry.Flags}")}");
            Lines.Add(line.ToString());
        }

        public void OnLost(string reason, ulong count) => Losses.Add(reason, count);
    }

    private static Transcript Read(string text, out PerfScriptReader reader)
    {
        Transcript transcript = new();
        reader = new PerfScriptReader(transcript);
        reader.Read(new MemoryStream(Encoding.UTF8.GetBytes(text)));
        return transcript;
    }

    [Fact]
    public void Samples_have_their_branches_newest_first_with_flags()
    {
        Transcript read = Read(
            "          401234 0x4005c8/0x4005dc/P/-/-/0  0x40062f/0x4005b0/M/-/-/12 \n" +
            "    7f0012345678 0x1/0x2/-/X/A/0/COND/SPEC_WRONG_PATH\n", out PerfScriptReader reader);
        Assert.Equal(
            ["0x401234 x1 0x4005c8>0x4005dc:Predicted 0x40062f>0x4005b0:Mispredicted",
             "0x7f0012345678 x1 0x1>0x2:InTransaction, Abort, SpeculativeWrongPath"], read.Lines);
        Assert.Equal(2UL, reader.BranchSamples);
        Assert.Equal(0UL, read.Losses.Total);
    }

    [Fact]
    public void A_mapping_is_its_processs_and_that_of_samples_which_name_no_process_and_only_code_is_told()
    {
        Transcript read = Read(
            " PERF_RECORD_MMAP2 31/31: [0x555555555000(0x1000) @ 0x1000 08:01 123 456]: r-xp /opt/a program\n" +
            " PERF_RECORD_MMAP2 31/31: [0x555555556000(0x1000) @ 0x2000 08:01 123 456]: rw-p /opt/a program\n" +
            " PERF_RECORD_MMAP2 7/7: [0x7f0000000000(0x2000) @ 0 <0123456789abcdef>]: r-xp /lib/libc.so.6\n" +
            " PERF_RECORD_MMAP -1/0: [0xffffffff81e00000(0x3e8fa000) @ 0xffffffff81e00000]: x [kernel.kallsyms]_text\n",
            out PerfScriptReader reader);
        Assert.Equal(
            ["map 31 0x555555555000 1000 +0x1000 /opt/a program",
             "map 0 0x555555555000 1000 +0x1000 /opt/a program",
             "map 7 0x7f0000000000 2000 +0x0 /lib/libc.so.6 0123456789abcdef",
             "map 0 0x7f0000000000 2000 +0x0 /lib/libc.so.6 0123456789abcdef",
             "map -1 0xffffffff81e00000 3e8fa000 +0xffffffff81e00000 [kernel.kallsyms]_text"], read.Lines);
        Assert.Equal(3UL, reader.Mappings);
    }

    [Fact]
    public void A_call_stack_before_branches_gives_its_leaf_and_addresses_alone_are_samples_without_branches()
    {
        Transcript read =
            Read("\t          4005dc\n\t          400634\n 0x4005c8/0x4005dc/P/-/-/0\n\n          401000 \n\n          402000 \n", out PerfScriptReader reader);
        Assert.Equal(["0x4005dc x1 0x4005c8>0x4005dc:Predicted", "0x401000 x1", "0x402000 x1"], read.Lines);
        Assert.Equal(2UL, reader.PlainSamples);
    }

    [Fact]
    public void A_number_alone_weights_the_next_sample_only()
    {
        Transcript read = Read("40\n 4005dc 0x10/0x20/P/-/-/0\n 4005dc 0x10/0x20/P/-/-/0\n", out _);
        Assert.Equal(["0x4005dc x40 0x10>0x20:Predicted", "0x4005dc x1 0x10>0x20:Predicted"], read.Lines);
    }

    [Fact]
    public void Damage_costs_what_it_hits_and_is_counted()
    {
        Transcript read = Read(
            " 4005dc 0x10/0x20/P/-/-/0 0xzz/0x30/P/-/-/0 0x40/0x50/P/-/-/0\n" +
            " PERF_RECORD_MMAP2 31/31: [garbage]: r-xp /opt/program\n" +
            "no line that perf prints\n" +
            new string('x', 3 << 20) + "\n 4005dc 0x10/0x20/P/-/-/0", out _);
        Assert.Equal(["0x4005dc x1 0x10>0x20:Predicted", "0x4005dc x1 0x10>0x20:Predicted"], read.Lines);
        Assert.Equal(
            [PerfScriptReader.BadBranch, PerfScriptReader.LineTooLong, PerfScriptReader.UnknownLine, PerfScriptReader.BadMapping],
            read.Losses.ByReason.Keys);
        Assert.Equal(4UL, read.Losses.Total);
    }

    [Fact]
    public void What_a_stream_hands_over_in_small_pieces_reads_the_same()
    {
        string text =
            string.Concat(Enumerable.Range(0, 200).Select(i => $" {i:x} 0x{i:x}0/0x{i:x}8/P/-/-/0  0x{i:x}c/0x{i:x}4/M/-/-/0 \n"));
        Transcript pieces = new();
        new PerfScriptReader(pieces).Read(new Trickle(Encoding.UTF8.GetBytes(text)));
        Assert.Equal(Read(text, out _).Lines, pieces.Lines);
    }

    /// <summary>A stream that gives seven bytes at a time.</summary>
    private sealed class Trickle(byte[] bytes) : MemoryStream(bytes)
    {
        public override int Read(byte[] buffer, int offset, int count) => base.Read(buffer, offset, Math.Min(count, 7));
    }
}
