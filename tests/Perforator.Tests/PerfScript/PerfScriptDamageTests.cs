using System.Text;
using Perforator.Branches;
using Perforator.PerfScript;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.PerfScript;

public class PerfScriptDamageTests
{
    private const string Text =
        " PERF_RECORD_MMAP2 31/31: [0x555555555000(0x1000) @ 0x1000 08:01 123 456]: r-xp /opt/program\n" +
        " PERF_RECORD_MMAP -1/0: [0xffffffff81e00000(0x3e8fa000) @ 0xffffffff81e00000]: x [kernel.kallsyms]_text\n" +
        "          401234 0x4005c8/0x4005dc/P/-/-/0  0x40062f/0x4005b0/M/X/A/12 \n" +
        "\t          4005dc\n\t          400634\n 0x4005c8/0x4005dc/P/-/-/0\n" +
        "40\n    7f0012345678 0x555555555010/0x555555555020/-/-/-/0/COND/SPEC_WRONG_PATH\n" +
        "my server  31/9 [001] 12.345678:     100003 cycles:u:      1040 0x1030/0x1010/M/-/-/3  0x1020/0x1000/P/-/-/0\n" +
        "server 31 PERF_RECORD_COMM exec: server:31/31\n" +
        " PERF_RECORD_MMAP2 31/31: [0x7f0000000000(0x2000) @ 0 <0123456789abcdef0123456789abcdef01234567>]: r-xp /lib/libc.so.6\n" +
        "a 31/9 PERF_RECORD_COMM exec: a:31/9\nPERF_RECORD_FORK(32:32):(31:31)\nserver 32/32 12.3: 1 cycles:\n\t 401234\n 0x4005c8/0x4005dc/P/-/-/0\n\n" +
        "9 401234 00112233:0x4005c8/44556677:0x4005dc/P/-/-/0\n" +
        "1040 0x1030/0x1010/M/-/-/3  main+0x10/fold+0x0/M/-/-/3\n";

    private sealed class Nothing : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => null;
    }

    /// <summary>Text has no bytes that it must not have: whatever comes, reading goes on to the end and throws nothing.</summary>
    [Fact]
    public void Damaged_text_is_read_to_its_end() =>
        DamageSweep.Run(
            Encoding.ASCII.GetBytes(Text),
            bytes => new PerfScriptReader(new BranchAggregator(new Nothing())).Read(new MemoryStream(bytes)));

    [Theory]
    [InlineData("B 1030 1010 5 2\nB X:0 1020 3 0\nF 1010 1030 4\nf 1020 1030 1\nS 1030 7\nB bb:99 1040 1 0\n")]
    [InlineData("E cycles\nT 1030 1010 1020 5\nR 1020 1010 -1 7\nr 1010 1020 3\nT -1 1010 1020 1\nS aa:1030 4\nE branches\nS bb:1040 9\n")]
    [InlineData("1\n1010-1030:4\n0\n1\n1030->1010:5\n// build_id: 0xaa00\n// /bin/a\n1\n1010-1030:4\n0\n0\n// /bin/b\n")]
    [InlineData("2\n0x1010-0x1030:4\n1020-1030:1\n1\n1030:7\n3\n1030->1010:5\n0->1020:3\n0->1040:1\n")]
    public void Damaged_counts_are_read_to_their_end(string text) =>
        DamageSweep.Run(Encoding.ASCII.GetBytes(text), bytes =>
        {
            if (BranchCountText.IsCounts(bytes))
                new BranchCountText(new Nothing(), new Module(BuildId.Parse("aa"), "/bin/a", [])).Read(new MemoryStream(bytes));
        });
}
