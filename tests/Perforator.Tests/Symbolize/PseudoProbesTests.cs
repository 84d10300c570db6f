using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

public class PseudoProbesTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    [Theory]
    [InlineData("probes-O2", "-O2")]
    [InlineData("probes-unique", "-O3 -funique-internal-linkage-names -no-pie")]
    public void Probes_are_those_that_llvm_profgen_shows(string name, string flags)
    {
        string binary = programs.Clang(name, ["-g", "-fpseudo-probe-for-profiling", .. flags.Split(' ')]);
        string listing = Tool.Run(
            "llvm-profgen-19", ["--binary=" + binary, "--show-disassembly-only", "--show-pseudo-probe", "--output=" + programs["unused"]]).Succeeded().Output;
        List<string> expected = [];
        List<string> pending = [];
        foreach (string line in listing.Split('\n'))
        {
            if (Regex.Match(line, @"\[Probe\]:\s+(FUNC: .*?)\s*$") is { Success: true } probe)
                pending.Add(Regex.Replace(probe.Groups[1].Value, " +", " "));
            else if (Regex.Match(line, @"^\s*([0-9a-f]+):") is { Success: true } instruction)
            {
                ulong address = ulong.Parse(instruction.Groups[1].Value, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
                expected.AddRange(pending.Select(p => $"{address:x} {p}"));
                pending.Clear();
            }
        }
        Assert.True(expected.Count > 100);

        using ElfFile file = ElfFile.Load(binary);
        Assert.True(PseudoProbes.ArePresent(file));
        LossCounts losses = new();
        PseudoProbes probes = PseudoProbes.Read(file, losses);
        Assert.Equal(expected.Order(StringComparer.Ordinal), probes.All.ToArray().Select(Shown).Order(StringComparer.Ordinal));
        Assert.Equal(0UL, losses.Total);
        Assert.NotEqual(0UL, probes.Functions.Values.Single(f => f.Name == "main").Checksum);

        PseudoProbe some = probes.All[probes.All.Length / 2];
        Assert.Contains(some, probes.At(some.Address).ToArray());
        Assert.Equal(probes.All.ToArray(), probes.Within(probes.All[0].Address, probes.All[^1].Address).ToArray());
    }

    [Fact]
    public void Without_symbols_probes_have_no_address_and_are_counted()
    {
        string binary = programs.Clang("probes-O2", "-g", "-fpseudo-probe-for-profiling", "-O2");
        Tool.Run("llvm-objcopy-19", ["--remove-section=.symtab", binary, programs["probes-stripped"]]).Succeeded();
        using ElfFile file = ElfFile.Load(programs["probes-stripped"]);
        LossCounts losses = new();
        PseudoProbes.Read(file, losses);
        Assert.True(losses[PseudoProbes.UnknownAddress] > 5);
    }

    [Fact]
    public void A_binary_without_probes_has_none()
    {
        using ElfFile file = ElfFile.Load(programs.Clang("no-probes", "-O2"));
        Assert.False(PseudoProbes.ArePresent(file));
    }

    private static string Shown(PseudoProbe probe)
    {
        List<string> callers = [];
        for (ProbeContext context = probe.Context; context.Caller is { } caller; context = caller)
            callers.Insert(0, $"{caller.Function.Name}:{context.CallProbe}");
        string discriminator = probe.Discriminator != 0 ? $" Discriminator: {probe.Discriminator}" : "";
        string inlined = callers.Count > 0 ? " Inlined: @ " + string.Join(" @ ", callers) : "";
        return $"{probe.Address.Value:x} FUNC: {probe.Context.Function.Name} Index: {probe.Index}{discriminator} Type: {probe.Type}{inlined}";
    }
}
