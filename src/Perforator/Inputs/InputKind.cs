using Perforator.Branches;
using Perforator.PerfData;
using Perforator.PerfScript;
using Perforator.Pprof;

namespace Perforator.Inputs;

/// <summary>What a file or stream of recorded branches is.</summary>
public enum InputKind
{
    /// <summary>What Perforator itself records (<see cref="BranchProfileCodec"/>).</summary>
    Branches,

    /// <summary>What <c>perf record</c> writes, as a file or through a pipe.</summary>
    PerfData,

    /// <summary>Samples as <c>perf script</c> prints them.</summary>
    PerfScript,

    /// <summary>Text of counts by address: BOLT's, AutoFDO's, simpleperf's, llvm-profgen's.</summary>
    BranchCounts,

    /// <summary>A pprof profile of sample type lbr/stacks.</summary>
    Pprof,
}

/// <summary>Tells what an input is by its content.</summary>
public static class InputKinds
{
    /// <summary>So many bytes of a binary input tell what it is.</summary>
    public const int MagicBytes = 16;

    /// <summary>The kind that content begins like; null when that is not known, or not known yet.</summary>
    /// <param name="start">The first bytes; the more there are, the surer is what kind of text it is.</param>
    public static InputKind? Detect(ReadOnlySpan<byte> start)
    {
        if (BranchProfileCodec.HasMagic(start))
            return InputKind.Branches;
        if (PerfDataReader.HasMagic(start))
            return InputKind.PerfData;
        if (PprofReader.HasMagic(start))
            return InputKind.Pprof;
        if (start.IsEmpty || start.Contains((byte)0))
            return null;
        return BranchCountText.IsCounts(start) ? InputKind.BranchCounts : InputKind.PerfScript;
    }
}
