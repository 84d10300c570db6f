using System.Globalization;
using System.Text;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.PerfScript;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.PerfScript;

/// <summary>What several threads read of a file is what one reads.</summary>
public sealed class PerfScriptFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly Random random = new(1);

    private sealed class Anywhere : IModuleResolver
    {
        public Module? Resolve(Mapping mapping) =>
            new(BuildId.Parse(mapping.Path[5..]), mapping.Path, [new LoadSegment(new(0), new(0), 1 << 20, 1 << 20, true)]);
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Samples_in_their_usual_form() => Compare(lines: 4000, _ => Sample());

    [Fact]
    public void Mappings_between_samples_hold_for_what_stands_behind_them() =>
        Compare(lines: 6000, i =>
            i % 50 == 0
                ? $" PERF_RECORD_MMAP2 7/7: [0x{random.Next(3) << 16:x}(0x10000) @ 0 08:01 1 2]: r-xp /bin/{i % 256:x2}" : Sample());

    [Fact]
    public void Weights_and_call_stacks_belong_to_the_sample_that_follows() => Compare(lines: 20_000, i => random.Next(8) switch
    {
        0 => random.Next(1, 9).ToString(CultureInfo.InvariantCulture),
        1 => $"\t    {random.Next(1 << 18):x}",
        2 => "",
        3 => Sample()[17..],
        4 => "nonsense 0x",
        _ => Sample(),
    });

    [Fact]
    public void Text_without_a_place_to_cut() => Compare(lines: 8000, i => i == 0 ? Sample() : $"name 7/7 1.0: cycles:u: {Sample()}");

    private string Sample()
    {
        StringBuilder line = new($"{random.Next(1 << 18),17:x} ");
        for (int i = random.Next(1, 33); i > 0; i--)
        {
            string flags =
                random.Next(20) switch
                {
                    0 => "-/X/-/3",
                    1 => "M/-/A/12",
                    2 => "P/-/-/0/COND/NON_SPEC_CORRECT_PATH",
                    3 => "",
                    4 => "M/-/-/2//SPEC_WRONG_PATH",
                    _ => "P/-/-/117"
                };
            line.Append(CultureInfo.InvariantCulture, $"0x{(random.Next(30) == 0 ? 0xffffffff81000000 : 0) + (ulong)random.Next(1 << 18):x}/0x{random.Next(1 << 18):x}/{flags}  ");
        }
        return line.ToString();
    }

    private void Compare(int lines, Func<int, string> line)
    {
        string path = folder["perf.txt"];
        File.WriteAllLines(
            path, Enumerable.Range(0, lines).Select(line).Prepend(" PERF_RECORD_MMAP2 7/7: [0x0(0x30000) @ 0 08:01 1 2]: r-xp /bin/aa"));
        Assert.True(new FileInfo(path).Length > 3 * PerfScriptBlocks.Length / 2, "the file is to be cut");

        BranchAggregator expected = new(new Anywhere());
        PerfScriptReader reader = new(expected);
        reader.ReadFile(path);
        using FileStream file = File.OpenRead(path);
        BranchAggregator found =
            PerfScriptFile.Read(file, Stream.Null, () => new BranchAggregator(new Anywhere()), default, out PerfScriptSummary summary);

        Assert.Equal(reader.Summary, summary);
        Assert.Equal(expected.Losses.ByReason, found.Losses.ByReason);
        Assert.Equal(expected.Samples, found.Samples);
        Assert.Equal(expected.Profiles.Keys.Order(), found.Profiles.Keys.Order());
        foreach ((BuildId id, BranchProfile profile) in expected.Profiles)
        {
            BranchProfile other = found.Profiles[id];
            Assert.Equal(profile.Branches.Sorted(), other.Branches.Sorted());
            Assert.Equal(profile.Ranges.Sorted(), other.Ranges.Sorted());
            Assert.Equal(profile.Addresses.Sorted(), other.Addresses.Sorted());
            Assert.Equal(profile.Losses.ByReason, other.Losses.ByReason);
            Assert.Equal((profile.Samples, profile.BranchEntries), (other.Samples, other.BranchEntries));
        }
    }
}
