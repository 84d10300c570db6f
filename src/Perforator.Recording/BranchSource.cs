using System.Runtime.InteropServices;
using Perforator.Recording.PerfEvents;
using Perforator.Recording.Software;

namespace Perforator.Recording;

/// <summary>Where branch stacks are to come from: <c>--source</c>.</summary>
public enum BranchSource
{
    /// <summary>The hardware where it has them, else the software recorder.</summary>
    Auto,

    /// <summary>The hardware's branch records, whatever the vendor calls them: Intel LBR, AMD LbrExtV2 and BRS, Arm BRBE.</summary>
    Lbr,

    /// <summary>The software recorder.</summary>
    Software,
}

/// <summary>The source chosen for a recording, and why.</summary>
/// <param name="Source"><see cref="BranchSource.Lbr"/> or <see cref="BranchSource.Software"/>.</param>
/// <param name="Reason">Why, as the rest of a sentence that begins with the source's name.</param>
/// <param name="Support">What was found when the hardware was tried; null when it was not.</param>
public sealed record BranchSourceChoice(BranchSource Source, string Reason, BranchStackSupport? Support)
{
    /// <summary>The source and the reason in one line for people.</summary>
    public string Description => $"{(Source == BranchSource.Lbr ? "hardware branch records" : "software recorder")} ({Reason})";

    /// <summary>Decides by trying.</summary>
    /// <param name="wanted">What was asked for.</param>
    /// <param name="withKernel">The kernel's own branches are wanted too, which only the hardware sees.</param>
    /// <exception cref="UserErrorException">What was asked for, or anything at all, is not to be had on this machine.</exception>
    public static BranchSourceChoice Make(BranchSource wanted, bool withKernel = false)
    {
        if (withKernel && wanted == BranchSource.Software)
            throw new UserErrorException(
                "the software recorder does not see the kernel's branches; leave out --kernel, or use --source lbr where the CPU has branch records");
        if (wanted == BranchSource.Software)
            return new(BranchSource.Software, "asked for with --source", null);
        BranchStackSupport support = BranchStackSupport.Probe(withKernel);
        if (support.IsAvailable)
            return new(BranchSource.Lbr, support.Explanation, support);
        string remedy = support.Remedy is null ? "" : $"; {support.Remedy}";
        if (withKernel)
            throw new UserErrorException($"--kernel needs hardware branch records: {support.Explanation}{remedy}");
        if (wanted == BranchSource.Lbr)
            throw new UserErrorException($"no hardware branch records: {support.Explanation}{remedy}; or use --source software");
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
            throw new UserErrorException(
                $"no way to record here: {support.Explanation}{remedy}; and the software recorder follows x86-64 code only");
        return new(BranchSource.Software, $"since {support.Explanation}", support);
    }

    /// <summary>Makes the recorder.</summary>
    /// <param name="targets">The processes to record.</param>
    /// <param name="options">For the software recorder; the hardware needs none.</param>
    public IBranchRecorder Open(IRecordingTargets targets, SoftwareRecorderOptions options) =>
        Source == BranchSource.Lbr ? new PerfEventRecorder(targets, Support!, options.Budget) : new SoftwareRecorder(targets, options);
}
