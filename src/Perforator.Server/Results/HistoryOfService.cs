using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Server.Domain;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>Profiles that were generated of a service, their names, and how they differ.</summary>
internal sealed class HistoryOfService
{
    /// <summary>The shortest beginning of a hash that is taken for one.</summary>
    private const int MinDigits = 8;

    /// <summary>Askers that are told of each profile.</summary>
    private const int MaxAsked = 100;

    private readonly ServerStorage storage;
    private readonly TimeProvider time;
    private readonly ILogger<HistoryOfService> log;

    public HistoryOfService(ServerStorage storage, TimeProvider time, ILogger<HistoryOfService> log)
    {
        this.storage = storage;
        this.time = time;
        this.log = log;
    }

    /// <summary>
    /// Notes who asked for a profile, and whether it is as they want it. That this cannot be written keeps nobody from the profile.
    /// </summary>
    /// <param name="report">Its report; null where it is only fetched.</param>
    public async Task NoteAskedAsync(string service, string profile, string who, ProfileGates gates, JsonElement? report)
    {
        DateTimeOffset now = time.GetUtcNow();
        string unmet =
            report is { ValueKind: JsonValueKind.Object } known && JsonObject.Create(known) is { } figures
                ? string.Join('\n', gates.Failures(figures, now)) : "";
        try
        {
            await storage.Results.NoteAskedAsync(
                new KeptAsked(service, profile, who, now, gates.ToString(), unmet), CancellationToken.None);
        }
        catch (IOException e)
        {
            log.LogWarning(e, "that {Who} asked for a profile of {Service} could not be written", who, service);
        }
    }

    /// <summary>The kept profile that a hash, or its first digits, stands for.</summary>
    /// <exception cref="ApiException">There is none, or more than one.</exception>
    public async Task<KeptResult> FindAsync(string service, string hash, CancellationToken stop)
    {
        string digits = hash.ToLowerInvariant();
        if (digits.Length is < MinDigits or > 64 || !digits.All(char.IsAsciiHexDigitLower))
            throw ApiException.BadRequest(
                $"'{ProfileLabels.Printable(hash, 80)}' is not a profile's hash: {MinDigits} to 64 hexadecimal digits are expected");
        return await storage.Results.FindByProfileAsync(service, digits, stop) switch
        {
            [var only] => only,
            [] => throw ApiException.NotFound($"{service} has no kept profile {digits}; its history names those there are"),
            _ => throw ApiException.BadRequest($"{service} has several kept profiles that begin with {digits}; give more digits"),
        };
    }

    /// <summary>The kept profiles, the latest first.</summary>
    /// <exception cref="UnknownServiceException">There is no such service.</exception>
    public async Task<HistoryPage> ListAsync(string service, int limit, long? before, CancellationToken stop)
    {
        IReadOnlyList<KeptResult> results = await storage.Results.ListAsync(service, before, limit + 1, stop);
        if (results.Count == 0)
            await RequireServiceAsync(service, stop);
        ILookup<string, string> names =
            (await storage.Results.ListNamesAsync(service, stop)).ToLookup(static name => name.Profile, static name => name.Name);
        ILookup<string, KeptAsked> asked =
            (await storage.Results.ListAskedAsync(service, [.. results.Take(limit).Select(static kept => kept.Profile).Distinct()], stop))
            .ToLookup(static one => one.Profile);
        return new HistoryPage(
            [.. results.Take(limit).Select(kept => new HistoryEntry(
                kept.Profile, kept.Made, kept.Selector, kept.Since, kept.Until, kept.Uploads, kept.Inputs, kept.Builds, kept.Ratio,
                kept.ReportLine,
                kept.Tool, [.. names[kept.Profile]])
            {
                Asked = [.. asked[kept.Profile].Take(MaxAsked).Select(static one => new ProfileAsked(
                    one.Who, one.When, one.Gates, one.Unmet.Split('\n', StringSplitOptions.RemoveEmptyEntries)))],
            })],
            results.Count > limit ? $"{results[limit - 1].Id}" : null);
    }

    /// <summary>The names.</summary>
    /// <exception cref="UnknownServiceException">There is no such service.</exception>
    public async Task<IReadOnlyList<NamedProfile>> NamesAsync(string service, CancellationToken stop)
    {
        IReadOnlyList<KeptName> names = await storage.Results.ListNamesAsync(service, stop);
        if (names.Count == 0)
            await RequireServiceAsync(service, stop);
        return [.. names.Select(Message)];
    }

    private async Task RequireServiceAsync(string service, CancellationToken stop)
    {
        if ((await storage.Profiles.ListBuildDaysAsync(service, stop)).Count == 0)
            throw new UnknownServiceException(service);
    }

    /// <summary>What a name stands for.</summary>
    public async Task<NamedProfile> NameAsync(string service, string name, CancellationToken stop)
    {
        IReadOnlyList<KeptName> names = await storage.Results.ListNamesAsync(service, stop);
        return names.FirstOrDefault(one => one.Name == name) is { } found ? Message(found) : throw Unnamed(service, name, names);
    }

    /// <summary>Lets a name stand for a kept profile.</summary>
    public async Task<NamedProfile> PromoteAsync(string service, string name, string hash, CancellationToken stop)
    {
        if (!ProfileLabels.IsName(name))
            throw ApiException.BadRequest(
                $"'{ProfileLabels.Printable(name, 100)}' cannot name a profile: letters, digits, '.', '_' and '-' are allowed");
        KeptResult kept = await FindAsync(service, hash, stop);
        return Message(await storage.Results.SetNameAsync(service, name, kept.Profile, time.GetUtcNow(), stop));
    }

    /// <summary>Takes a name away.</summary>
    public async Task RemoveNameAsync(string service, string name, CancellationToken stop)
    {
        if (!await storage.Results.RemoveNameAsync(service, name, stop))
            throw Unnamed(service, name, await storage.Results.ListNamesAsync(service, stop));
    }

    /// <summary>What changed from one kept profile to another.</summary>
    public async Task<ProfileDiff> DiffAsync(string service, string from, string to, CancellationToken stop)
    {
        KeptResult earlier = await FindAsync(service, from, stop), later = await FindAsync(service, to, stop);
        (SampleProfile before, TargetCompiler compiler) = await LoadAsync(earlier, stop);
        (SampleProfile after, TargetCompiler other) = await LoadAsync(later, stop);
        return compiler == other ? ProfileComparison.Compare(earlier.Profile, before, later.Profile, after)
            : throw new ApiException(
                StatusCodes.Status409Conflict,
                "the two profiles are for different compilers, which name lines and copies differently; compare those for one");
    }

    /// <summary>
    /// How well a kept profile fits a build of which the server has the binary; the service's first current one unless named.
    /// </summary>
    public async Task<FitAnswer> FitAsync(string service, string hash, string? buildId, CancellationToken stop)
    {
        KeptResult kept = await FindAsync(service, hash, stop);
        IReadOnlyList<ServiceBuild> builds = ServiceBuilds.Rank(await storage.Profiles.ListBuildDaysAsync(service, stop));
        // One that is to be released need not be among those that were seen.
        BuildId build =
            buildId is null
                ? builds is [var first, ..] ? first.BuildId : throw ApiException.NotFound($"{service} has no build; name one with buildId")
            : builds.Any(one => one.BuildId.ToString().StartsWith(buildId, StringComparison.OrdinalIgnoreCase))
                ? NamedBuild.Find(builds, buildId, service).BuildId
            : BinariesEndpoint.Parse(buildId);
        (SampleProfile profile, TargetCompiler target) = await LoadAsync(kept, stop);
        ILookup<BuildId, BinaryFile> files = (await storage.Binaries.FindAsync(build, stop)).ToLookup(static file => file.BuildId);
        using StoredBinaries binaries = new(storage, files, await storage.Binaries.ListSharedAsync(stop));
        ProfileFit fit = await Task.Run(() =>
        {
            using ProfiledBinary binary = binaries.Open(build, build.ToString(), target, out string why)
                ?? throw new ApiException(StatusCodes.Status409Conflict, $"build {build}: {why}");
            return ProfileFit.Of(profile, binary);
        }, stop);
        JsonObject report = new()
        {
            ["share"] = fit.Share,
            ["fittingSamples"] = fit.FittingSamples,
            ["totalSamples"] = fit.TotalSamples,
            ["losses"] = new JsonArray([.. fit.Losses.Select(static loss => new JsonObject
            {
                ["function"] = loss.Function,
                ["samples"] = loss.Samples,
                ["reason"] = loss.Reason,
            })]),
        };
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"Fit: {100 * fit.Share:0.00} % of {fit.TotalSamples} samples find their place in build {build}\n");
        foreach (FitLoss loss in fit.Losses)
            text.Append(
                CultureInfo.InvariantCulture, $"{loss.Reason}: {ProfileLabels.Printable(loss.Function, 300)} ({loss.Samples} samples)\n");
        using JsonDocument document = JsonDocument.Parse(report.ToJsonString());
        return new FitAnswer(kept.Profile, build.ToString(), document.RootElement.Clone(), text.ToString());
    }

    /// <summary>A kept profile itself, and the compiler that it is for.</summary>
    /// <exception cref="ApiException">It is not there, or in a form that is only written.</exception>
    public async Task<(SampleProfile Profile, TargetCompiler Target)> LoadAsync(KeptResult kept, CancellationToken stop)
    {
        if (await storage.ReadResultAsync(kept.Profile, stop) is not { } bytes)
            throw ApiException.NotFound($"the bytes of {kept.Profile} are no longer kept, or were damaged; ask for the profile again");
        try
        {
            SampleProfileFormat format = SampleProfileReader.Detect(bytes);
            return (SampleProfileReader.Parse(bytes), new ProfileForm(format).Target);
        }
        catch (Bytes.MalformedInputException e)
        {
            throw new ApiException(StatusCodes.Status409Conflict, $"profile {kept.Profile} cannot be read: {e.Message}");
        }
    }

    private static NamedProfile Message(KeptName name) => new(name.Name, name.Profile, name.Changed, name.Previous);

    private static ApiException Unnamed(string service, string name, IReadOnlyList<KeptName> names) => ApiException.NotFound(
        $"{service} has no profile named '{ProfileLabels.Printable(name, 100)}'; it has: {(names.Count == 0 ? "none" : string.Join(", ", names.Select(static n => n.Name)))}");
}
