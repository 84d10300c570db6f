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
        "40\n    7f0012345678 0x555555555010/0x555555555020/-/-/-/0/COND/SPEC_WRONG_PATH\n";

    private sealed class Nothing : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) => null;
    }

    /// <summary>Text has no bytes that it must not have: whatever comes, reading goes on to the end and throws nothing.</summary>
    [Fact]
    public void Damaged_text_is_read_to_its_end() =>
        DamageSweep.Run(Encoding.ASCII.GetBytes(Text), bytes => new PerfScriptReader(new BranchAggregator(new Nothing())).Read(new MemoryStream(bytes)));
}
