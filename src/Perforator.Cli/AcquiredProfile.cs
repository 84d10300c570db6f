using System.Text.Json.Nodes;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary>A profile, from wherever it was generated.</summary>
/// <param name="Bytes">As a compiler reads it.</param>
/// <param name="Kept">The hash that the server keeps it by, which <c>--at</c> takes; null when it was generated here.</param>
/// <param name="Report">The report, field by field.</param>
/// <param name="ReportText">The report for people.</param>
/// <param name="ReportLine">The report in one line.</param>
internal sealed record AcquiredProfile(byte[] Bytes, string? Kept, JsonObject Report, string ReportText, string ReportLine)
{
    /// <summary>The version of the program that generated it.</summary>
    public string Tool { get; init; } = "";

    /// <summary>Inlined copies that are left to clang's ordinary inliner; null when that was not asked for.</summary>
    public int? LateInlined { get; init; }

    /// <summary>Gets the profile that was chosen.</summary>
    /// <param name="gates">What it will have to be like, for the server's history to tell.</param>
    /// <exception cref="UserErrorException">It cannot be had; the message says why.</exception>
    public static async Task<AcquiredProfile> GetAsync(ServerClient client, ProfileChoice choice, PgoGates? gates, CancellationToken stop)
    {
        AcquiredProfile profile =
            choice.Binary is null
                ? await AskAsync(client, choice, gates, stop) : await GenerateHereAsync(client, choice, choice.Binary, stop);
        if (choice.Target != TargetCompiler.Clang)
            return profile;
        // A profile without counts is worse than none: the compiler takes all code for cold.
        SampleProfile samples = SampleProfileReader.Parse(profile.Bytes);
        if (samples.Functions.Count == 0)
            throw new UserErrorException(
                $"the profile of {choice.Selector} is empty: none of its branches are in functions with debug info; see 'perforator services {choice.Selector.Service}'");
        if (!choice.LateInlining)
            return profile;
        int left = LateInlining.Apply(samples);
        return profile with { Bytes = SampleProfileWriter.ToBytes(samples, SampleProfileReader.Detect(profile.Bytes)), LateInlined = left };
    }

    private static async Task<AcquiredProfile> AskAsync(ServerClient client, ProfileChoice choice, PgoGates? gates, CancellationToken stop)
    {
        string service = choice.Selector.Service;
        string? hash = choice.Name is null ? choice.At : (await client.GetNameAsync(service, choice.Name, stop)).Profile;
        PgoAnswer answer =
            hash is null
                ? await client.GetPgoAsync(service, choice.Request, stop, gates) : await client.GetPgoAsync(service, hash, stop, gates);
        byte[] bytes = await client.GetResultAsync(answer.Profile, stop);
        JsonObject report = JsonObject.Create(answer.Report) ?? [];
        string line =
            answer.ReportLine.Length > 0 ? answer.ReportLine : FormattableString.Invariant($"{service}: ratio {answer.Ratio:0.###}");
        return new AcquiredProfile(bytes, answer.Profile, report, answer.ReportText, line) { Tool = answer.Tool };
    }

    /// <summary>Takes the server's branches and the user's own binary, whose build id decides which branches.</summary>
    private static async Task<AcquiredProfile> GenerateHereAsync(
        ServerClient client, ProfileChoice choice, string binary, CancellationToken stop)
    {
        string buildId;
        using (ElfFile elf = ElfFile.Load(binary))
            buildId = elf.BuildId.ToString();
        if (choice.Request.BuildId is { } wanted && !buildId.StartsWith(wanted, StringComparison.OrdinalIgnoreCase))
            throw new UserErrorException(
                $"{binary} has build id {buildId}, not {wanted}; give the binary of that build, or leave --build-id out");
        string service = choice.Selector.Service;
        (BranchProfileSet set, long totalProfiles) = await client.GetBranchesAsync(
            service, choice.Request with { BuildId = buildId, Format = null, GccVersion = null, SymbolList = false }, stop);
        ProfileForm form = new(choice.Request.Format switch
        {
            "text" => SampleProfileFormat.Text,
            "gcc" => SampleProfileFormat.Gcc,
            "go" => SampleProfileFormat.Go,
            _ => SampleProfileFormat.ExtBinary,
        }, choice.Request.SymbolList, choice.Request.GccVersion ?? ProfileForm.DefaultGccVersion);
        GeneratedProfile generated =
            GeneratedProfile.Generate(
                set.Profiles.Values.Single(), totalProfiles, set.Losses, binary, LocalDebugFiles.Found, service, form);
        GenerationReport report = generated.Report;
        string line = FormattableString.Invariant(
            $"{service}: {report.TotalBranches} branches of {report.TotalProfiles} profiles, ratio {report.TakenBranchesToExecutableBytesRatio:0.###}, {report.Functions} functions");
        return new AcquiredProfile(generated.Bytes, null, (JsonObject)JsonNode.Parse(report.ToJson())!, report.ToText(), line);
    }
}
