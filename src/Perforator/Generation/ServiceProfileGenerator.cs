using System.Security.Cryptography;
using Perforator.Branches;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>A service's sample profile with its report.</summary>
/// <param name="Profile">The profile.</param>
/// <param name="Bytes">The profile as the compiler reads it.</param>
/// <param name="Report">How it came about and how good it is.</param>
public sealed record ServiceProfile(SampleProfile Profile, byte[] Bytes, ServiceReport Report)
{
    /// <summary>SHA-256 of the bytes, in lower-case hexadecimal.</summary>
    public string Hash { get; } = Convert.ToHexStringLower(SHA256.HashData(Bytes));
}

/// <summary>
/// One profile for all files and releases of a service: each build's counts, faded with age, are translated by that build's own debug
/// info, and what names source merges. A new release thus begins with what is known of the ones before.
/// </summary>
public static class ServiceProfileGenerator
{
    /// <summary>Why a build that could be used is not: LLVM's profiles are of one kind.</summary>
    private const string OtherKind =
        "its profile is of another kind (lines, pseudo probes, flow-sensitive discriminators) than that of the files with more branches, and one profile holds one kind; build all files alike";

    /// <summary>Generates the profile. One binary is open at a time.</summary>
    /// <exception cref="UserErrorException">Nothing was observed, nothing of it can be used, or an option fits nothing; the message says
    /// why.</exception>
    public static ServiceProfile Generate(ServiceObservations observed, IBinaries binaries, ServiceProfileOptions options)
    {
        if (observed.Observations.Count == 0)
            throw new UserErrorException($"nothing was observed of {observed.Service}; see that an agent records it");
        IGrouping<BuildId, Observation>[] builds = [.. Select(observed, options.Only).GroupBy(static o => o.Branches.BuildId)];
        DateOnly newest = builds.SelectMany(static build => build).Max(static o => o.Day);
        List<BuildReport> reports = [];
        List<GeneratedBuild> generated = [];
        foreach (IGrouping<BuildId, Observation> build in NewestFirst(builds, observed.Current))
        {
            List<Observation> observations = [.. build];
            string path = observations.MaxBy(static o => o.LastSeen)!.Branches.Path;
            BuildReport report = BuildReport.Of(build.Key, path, observations, observed.Current.Contains(build.Key));
            reports.Add(report);
            BranchProfile sum = CountFading.Sum(observations, newest, options.HalfLifeDays);
            if (GenerateBuild(sum, path, binaries, options.Form, report) is { } made)
                generated.Add(made);
        }
        LossCounts losses = new();
        losses.Merge(observed.Losses);
        SampleProfile profile = Merge(generated, losses);
        if (profile.Functions.Count == 0)
            throw new UserErrorException(NothingUsable(observed.Service, reports));
        byte[] bytes = options.Form.ToBytes(profile, losses);
        ServiceReport whole =
            ServiceReport.Create(
                observed.Service, reports, profile, Convergence.OfHalves(builds), losses, options, newest,
                [.. builds.SelectMany(static build => build)]);
        return new ServiceProfile(profile, bytes, whole);
    }

    private sealed record GeneratedBuild(SampleProfile Profile, BuildReport Report);

    private static GeneratedBuild? GenerateBuild(BranchProfile sum, string path, IBinaries binaries, ProfileForm form, BuildReport report)
    {
        try
        {
            using ProfiledBinary? binary = binaries.Open(sum.BuildId, path, form.Target, out string why);
            if (binary is null)
            {
                report.Problem = why;
                return null;
            }
            FlowChecks checks = new();
            CodeFlow flow = CodeFlow.Check(sum, binary, checks);
            SampleProfile profile = ProfileGenerator.Generate(flow, binary, checks);
            if (form.HasSymbolList)
                profile.Symbols.UnionWith(binary.FunctionNames());
            CompilerShare compilers = CompilerShare.Of(sum, binary);
            string[] notes = [.. compilers.Check(form.Target, path)];
            report.Add(GenerationReport.Create(
                sum, binary, profile, checks, report.TotalProfiles, notes: notes,
                compilers: compilers) with
            { Binary = path }, CodeEffect.Of(sum, flow, binary));
            if (profile.Functions.Count == 0)
                report.Problem = "none of its branches fall into functions with debug info; build it with -g";
            return report.Problem is null ? new GeneratedBuild(profile, report) : null;
        }
        catch (UserErrorException e)
        {
            report.Problem = e.Message;
            return null;
        }
    }

    /// <summary>
    /// Adds up what was generated, the newest build of each file first: where control flow changed since, the older counts are left out.
    /// </summary>
    private static SampleProfile Merge(List<GeneratedBuild> generated, LossCounts losses)
    {
        SampleProfile merged = new();
        if (generated.Count == 0)
            return merged;
        (bool, bool) kind = generated.GroupBy(static build => KindOf(build.Profile))
            .OrderByDescending(static group => group.Sum(static build => (double)build.Report.TotalBranches))
            .ThenBy(static group => group.Key).First().Key;
        Dictionary<string, SampleProfile> newestOfFile = new(StringComparer.Ordinal);
        foreach (GeneratedBuild build in generated)
        {
            if (KindOf(build.Profile) != kind)
            {
                build.Report.Problem = OtherKind;
                continue;
            }
            if (!newestOfFile.TryAdd(build.Report.File, build.Profile))
                build.Report.FitToNewest = ProfileFit.Between(build.Profile, newestOfFile[build.Report.File]);
            double before = TotalOf(merged);
            LossCounts left = new();
            merged.Merge(build.Profile, 1, left);
            build.Report.FunctionsLeftOut = left[FunctionSamples.ChecksumMismatch];
            losses.Merge(left);
            build.Report.SamplesInProfile = TotalOf(merged) - before;
        }
        // What the first build of all was merged into is a new profile, so that newestOfFile's are as they were generated.
        return merged;
    }

    private static (bool IsProbeBased, bool IsFlowSensitive) KindOf(SampleProfile profile) =>
        (profile.IsProbeBased, profile.IsFlowSensitive);

    private static double TotalOf(SampleProfile profile) => profile.Functions.Values.Sum(static function => (double)function.TotalSamples);

    /// <summary>Builds that hosts run now, the one on most hosts first, then the others by when they were last seen.</summary>
    private static IEnumerable<IGrouping<BuildId, Observation>> NewestFirst(
        IEnumerable<IGrouping<BuildId, Observation>> builds, IReadOnlyList<BuildId> current)
    {
        Dictionary<BuildId, int> rank = [];
        foreach (BuildId build in current)
            rank.TryAdd(build, rank.Count);
        return builds.OrderBy(build => rank.GetValueOrDefault(build.Key, int.MaxValue))
            .ThenByDescending(static build => build.Max(static o => o.LastSeen)).ThenBy(static build => build.Key);
    }

    private static IEnumerable<Observation> Select(ServiceObservations observed, IReadOnlyList<string> only)
    {
        if (only.Count == 0)
            return observed.Observations;
        List<string> unmatched = [.. only];
        List<Observation> selected = [];
        foreach (Observation observation in observed.Observations)
        {
            List<string> fitting = [.. only.Where(wanted => Fits(wanted, observation.Branches))];
            if (fitting.Count > 0)
                selected.Add(observation);
            unmatched.RemoveAll(fitting.Contains);
        }
        if (unmatched.Count == 0)
            return selected;
        IEnumerable<string> known =
            observed.Observations.Select(static o => $"{o.Branches.Path} ({o.Branches.BuildId})").Distinct().Order(StringComparer.Ordinal);
        throw new UserErrorException(
            $"{observed.Service} has no file or build '{unmatched[0]}' in that time; it has: {string.Join(", ", known)}");
    }

    /// <summary>Whether a text of at least four digits begins a build id, or names a file by its path or the last part of it.</summary>
    private static bool Fits(string wanted, BranchProfile build) =>
        (wanted.Length >= 4 && build.BuildId.ToString().StartsWith(wanted, StringComparison.OrdinalIgnoreCase))
        || build.Path == wanted || Path.GetFileName(build.Path) == wanted || ServiceFile.NameOf(build.Path) == wanted;

    private static string NothingUsable(string service, List<BuildReport> reports)
    {
        IEnumerable<string> reasons =
            reports.OrderByDescending(static r => r.TotalBranches).Take(5).Select(static r => $"{r.Path} ({r.BuildId}): {r.Problem}");
        string more = reports.Count > 5 ? $"; and {reports.Count - 5} more" : "";
        return $"none of what was observed of {service} can be used: {string.Join("; ", reasons)}{more}";
    }
}
