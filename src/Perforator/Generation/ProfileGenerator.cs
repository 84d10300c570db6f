using Perforator.Branches;
using Perforator.Disassembly;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Generation;

/// <summary>
/// The whole flow from branches to a sample profile: check the branches against the code, spread the counts of fall-through ranges
/// over instructions, attribute instructions to source, add calls. Numbers equal llvm-profgen's (LLVM 19, without calling context);
/// docs/internals.md lists every difference.
/// </summary>
public static class ProfileGenerator
{
    /// <summary>Generates a profile.</summary>
    /// <param name="branches">What was observed of the binary.</param>
    /// <param name="binary">The binary it was observed of.</param>
    /// <param name="checks">Takes up how well the two fit.</param>
    /// <exception cref="UserErrorException">Most of the samples do not fit the binary's instructions: it is another build.</exception>
    public static SampleProfile Generate(BranchProfile branches, ProfiledBinary binary, FlowChecks checks) =>
        Generate(CodeFlow.Check(branches, binary, checks), binary, checks);

    /// <summary>Generates a profile of branches that were checked against the code.</summary>
    internal static SampleProfile Generate(CodeFlow flow, ProfiledBinary binary, FlowChecks checks)
    {
        checks.RequireSameBuild(binary.Path);
        SampleProfile profile = new() { IsFlowSensitive = binary.IsFlowSensitive, IsProbeBased = binary.HasPseudoProbes };
        if (binary.HasPseudoProbes)
            CountProbes(flow, binary, profile, checks);
        else
            CountLines(flow, binary, profile, checks);
        foreach (FunctionSamples function in profile.Functions.Values)
            RaiseToCallTargets(function);
        RemoveAmbiguous(profile);
        return profile;
    }

    private static void CountLines(CodeFlow flow, ProfiledBinary binary, SampleProfile profile, FlowChecks checks)
    {
        LineProfile lines = new(profile, binary.Discriminators);
        foreach (RangeCount range in Spread(flow, binary))
        {
            SourceLocation location = default;
            ulong bytes = 0;
            for (ulong at = range.Begin; binary.Code.Next(ref at, range.End, out _, out int length); at += (ulong)length)
            {
                if (at >= location.End.Value)
                {
                    lines.AddCode(location, range.Count, bytes);
                    bytes = 0;
                    location = binary.Locate(at);
                }
                bytes += (ulong)length;
            }
            lines.AddCode(location, range.Count, bytes);
        }
        foreach (BranchCount branch in flow.Branches)
            if (binary.CalleeAt(branch.To) is { } callee)
            {
                SourceLocation call = binary.Locate(branch.From);
                lines.AddCall(call, callee, branch.Count);
                if (call.Context is not null && IsIndirectCall(branch, binary))
                    checks.AddIndirectCall(branch.Count, hasPlace: call.Line != 0);
            }
        lines.Finish();
    }

    private static void CountProbes(CodeFlow flow, ProfiledBinary binary, SampleProfile profile, FlowChecks checks)
    {
        ProbeProfile probes = new(profile, binary.ReadPseudoProbes(flow));
        foreach (RangeCount range in Spread(flow, binary))
            for (ulong at = range.Begin; binary.Code.Next(ref at, range.End, out _, out int length); at += (ulong)length)
                probes.AddInstruction(at, range.Count);
        probes.CountProbes();
        foreach (BranchCount branch in flow.Branches)
            if (binary.CalleeAt(branch.To) is { } callee)
            {
                bool hasProbe = probes.AddCall(branch.From, callee, branch.Count);
                if (IsIndirectCall(branch, binary) && binary.Locate(branch.From).Context is not null)
                    checks.AddIndirectCall(branch.Count, hasProbe);
            }
    }

    private static bool IsIndirectCall(BranchCount branch, ProfiledBinary binary) =>
        branch.From != BinaryAddress.External.Value && binary.Code.At(new(branch.From)) is { Kind: InstructionKind.IndirectCall };

    /// <summary>
    /// Disjoint ranges of the code that ran. All other code of the functions that were touched has a count of 0: the compiler is to
    /// know it as cold, not as unknown.
    /// </summary>
    private static List<RangeCount> Spread(CodeFlow flow, ProfiledBinary binary)
    {
        List<RangeCount> ranges = [.. flow.Ranges];
        foreach (FunctionRange piece in binary.PiecesOfFunctionsAt(flow.Ranges))
            if (!flow.HasRange(piece.Start.Value, piece.End.Value - 1))
                ranges.Add(new(piece.Start.Value, piece.End.Value - 1, 0));
        return DisjointRanges.Of(ranges);
    }

    /// <summary>
    /// A place that calls others ran at least as often as it called; ranges alone may miss that, since the newest range of a stack
    /// is never complete.
    /// </summary>
    private static void RaiseToCallTargets(FunctionSamples function)
    {
        foreach ((_, BodySample body) in function.Body)
        {
            ulong calls = 0;
            foreach ((_, ulong count) in body.CallTargets)
                calls = SampleCount.Add(calls, count);
            body.Samples = Math.Max(body.Samples, calls);
        }
    }

    /// <summary>Drops the initialisers of which a program has many under one name, wherever they were inlined.</summary>
    private static void RemoveAmbiguous(SampleProfile profile)
    {
        foreach (string name in profile.Functions.Keys.Where(CanonicalName.IsAmbiguous).ToList())
            profile.Functions.Remove(name);
        Stack<FunctionSamples> open = new(profile.Functions.Values);
        while (open.TryPop(out FunctionSamples? function))
        {
            foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
            {
                RemoveAmbiguous(callees);
                foreach ((_, FunctionSamples callee) in callees)
                    open.Push(callee);
            }
        }
    }

    private static void RemoveAmbiguous(NameMap<FunctionSamples> callees)
    {
        List<string>? ambiguous = null;
        foreach ((string name, _) in callees)
            if (CanonicalName.IsAmbiguous(name))
                (ambiguous ??= []).Add(name);
        foreach (string name in ambiguous ?? [])
            callees.Remove(name);
    }
}
