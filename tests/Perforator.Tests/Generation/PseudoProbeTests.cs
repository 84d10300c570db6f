using System.Text;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Generation;

public class PseudoProbeTests(PeerComparison programs) : IClassFixture<PeerComparison>
{
    [Fact]
    public void Damaged_sections_lose_probes_and_nothing_else()
    {
        string binary = programs.CompileCpp("probesdamage", "-fpseudo-probe-for-profiling");
        using ElfFile elf = ElfFile.Load(binary);
        byte[] descriptors = elf.SectionData(".pseudo_probe_desc").ToArray(), probes = elf.SectionData(".pseudo_probe").ToArray();
        Assert.Null(PseudoProbes.Parse(descriptors, probes, _ => true, _ => null).Damage);
        DamageSweep.Run(probes, damaged => PseudoProbes.Parse(descriptors, damaged, _ => true, guid => guid & 0xffff), damages: 700);
        DamageSweep.Run(descriptors, damaged => PseudoProbes.Parse(damaged, probes, _ => true, _ => null), damages: 300);
    }

    [Fact]
    public void Inlined_functions_nested_without_end_use_no_stack()
    {
        using MemoryStream section = new();
        using BinaryWriter writer = new(section, Encoding.ASCII);
        writer.Write(1UL);
        writer.Write((byte)0);
        writer.Write((byte)1);
        for (int i = 0; i < 200_000; i++)
        {
            writer.Write((byte)1);
            writer.Write(1UL);
            writer.Write((byte)0);
            writer.Write((byte)1);
        }
        Assert.NotNull(PseudoProbes.Parse(default, section.ToArray(), _ => true, _ => null).Damage);
    }
}
