using System.Globalization;
using System.Text;
using static Perforator.Generation.ServiceReport;

namespace Perforator.Generation;

/// <summary>A service's report for people.</summary>
internal static class ServiceReportText
{
    public static string Of(ServiceReport report)
    {
        StringBuilder text = new();
        foreach ((string name, object value) in report.Fields())
            Line($"{name}: {(value is double number ? Number(number) : value)}");
        Line($"Convergence: {(report.Convergence is { } overlap ? Number(overlap) : "unknown: one upload cannot be compared with itself")}");
        Line($"Hosts: {Shares(report.Provenance.Hosts)}");
        Line($"Cpus: {Shares(report.Provenance.Cpus)}");
        Line($"Sources: {Shares(report.Provenance.Sources)}");
        Line($"Seen: {report.Provenance.FirstSeen.UtcDateTime:yyyy-MM-dd HH:mm} to {report.Provenance.LastSeen.UtcDateTime:yyyy-MM-dd HH:mm} UTC");
        Line(report.HalfLifeDays is { } halfLife
            ? $"Fading: counts of {report.NewestDay:yyyy-MM-dd} weigh 1, those of {Number(halfLife)} days before a half"
            : "Fading: none");
        foreach (FileReport file in report.Files)
        {
            Line($"File: {file.Name}: {Percent(file.ShareOfBranches)} of the branches, {Percent(file.ShareOfProfile)} of the profile{(file.IsUsed ? "" : ": NOT in it")}");
            foreach (BuildReport build in file.Builds)
                Build(build);
        }
        double seen = report.TotalBranches + (double)report.Losses.Total;
        foreach ((string reason, ulong count) in report.Losses.LargestFirst())
            Line($"lost: {count} ({Percent(seen == 0 ? 0 : count / seen)}): {reason}");
        foreach (string bias in report.Bias)
            Line($"bias: {bias}");
        foreach (string note in report.Notes)
            Line(note);
        if (report.Advice is { } advice)
            Line(advice);
        return text.ToString();

        void Build(BuildReport build)
        {
            string ratio = build.TakenBranchesToExecutableBytesRatio is { } known ? $", ratio {Number(known)}" : "";
            Line($"  build {build.BuildId} ({build.Path}){(build.IsCurrent ? ", current" : "")}: {build.TotalBranches} branches{ratio}, {Count(build.Provenance.Hosts.Count, "host")}, "
                + $"{build.Provenance.FirstSeen.UtcDateTime:yyyy-MM-dd} to {build.Provenance.LastSeen.UtcDateTime:yyyy-MM-dd}, {Percent(build.ShareOfProfile)} of the profile");
            if (build.Problem is { } problem)
                Line($"    not in the profile: {problem}");
            if (build.Effect is { } effect)
                Line($"    effect: {Number(effect.InstructionsPerTakenBranch)} instructions per taken branch, 90 % of them in {effect.BytesOf90Percent} bytes and 99 % in {effect.BytesOf99Percent}, "
                    + $"{Number(effect.CallsPer1000Instructions)} calls per 1,000{(effect.MispredictedShare is { } share ? $", {Percent(share)} mispredicted" : "")}");
            if (build.FitToNewest is { } fit)
                Line($"    fit to the newest build: {Percent(fit.Share)} of its samples{Main(fit)}{(build.FunctionsLeftOut > 0 ? $"; {build.FunctionsLeftOut} functions of another control flow left out" : "")}");
            foreach ((ulong samples, ulong of, string what) in build.Generation?.Checks.Findings() ?? [])
                Line($"    {Percent(of == 0 ? 0 : (double)samples / of)} ({samples} of {of}) {what}");
            foreach (string note in build.Generation?.Notes ?? [])
                Line($"    {note}");
        }

        void Line(string line) => text.Append(line).Append('\n');
    }

    private static string Main(ProfileFit fit) =>
        fit.Losses is [var first, ..] && fit.Share < 0.99
            ? string.Create(CultureInfo.InvariantCulture, $", most of the rest in {first.Function} ({first.Reason})") : "";

    /// <summary>The first few by share, and how many there are.</summary>
    private static string Shares(IReadOnlyList<(string Name, double Share)> shares) =>
        $"{shares.Count}"
            + (shares.Count == 0
                ? "" : $" ({string.Join(", ", shares.Take(3).Select(static s =>
                    $"{s.Name} {Percent(s.Share)}"))}{(shares.Count > 3 ? ", …" : "")})");
}
