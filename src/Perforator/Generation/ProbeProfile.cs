using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>
/// Builds a profile whose locations are pseudo probes: a probe's count is the sum over the instructions it stands at, and functions
/// carry the checksum of their control-flow graph, by which the compiler knows whether they have changed.
/// </summary>
internal sealed class ProbeProfile(SampleProfile profile, PseudoProbes probes)
{
    private readonly Dictionary<PseudoProbe, ulong> counts = [];
    private readonly Dictionary<ProbeInlineNode, FunctionSamples?> nodes = [];

    /// <summary>Counts one instruction.</summary>
    public void AddInstruction(ulong address, ulong count)
    {
        foreach (PseudoProbe probe in probes.At(address))
            counts[probe] = SampleCount.Add(counts.GetValueOrDefault(probe), count);
    }

    /// <summary>Counts calls from an instruction. Calls from code without a call probe name no place and are left out.</summary>
    /// <returns>Whether the instruction has a call probe.</returns>
    public bool AddCall(ulong address, string callee, ulong count)
    {
        foreach (PseudoProbe probe in probes.At(address))
        {
            if (!probe.IsCall)
                continue;
            SamplesOf(probe.Node)?.BodyAt(new(probe.Index, 0)).AddCallTarget(callee, count);
            return true;
        }
        return false;
    }

    /// <summary>Turns the probes' counts into samples; call it between instructions and calls.</summary>
    public void CountProbes()
    {
        foreach ((PseudoProbe probe, ulong count) in counts)
        {
            if (SamplesOf(probe.Node) is not { } samples)
                continue;
            samples.BodyAt(new(probe.Index, probe.Discriminator)).AddSamples(count);
            if (probe.IsEntry)
                samples.AddHeadSamples(count);
            for (ProbeInlineNode? node = probe.Node; node is not null; node = node.Parent)
            {
                SamplesOf(node)?.AddTotalSamples(count);
                // An inlined copy whose call probe is lost (0) is a function of its own.
                if (node.CallProbe == 0)
                    break;
            }
        }
    }

    private FunctionSamples? SamplesOf(ProbeInlineNode node)
    {
        if (nodes.TryGetValue(node, out FunctionSamples? samples))
            return samples;
        if (probes.TryDescribe(node.Guid, out ProbeDescriptor descriptor))
        {
            samples = node.Parent is null || node.CallProbe == 0
                ? profile.Function(descriptor.Name)
                : SamplesOf(node.Parent)?.InlinedAt(new(node.CallProbe, 0), descriptor.Name);
            if (samples is not null)
                samples.Checksum = descriptor.Checksum;
        }
        nodes.Add(node, samples);
        return samples;
    }
}
