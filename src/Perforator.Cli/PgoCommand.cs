using System.CommandLine;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary><c>perforator pgo SERVICE</c>: the service's current sample profile. Report on stderr, the profile's path on stdout.</summary>
internal static class PgoCommand
{
    public static Command Create()
    {
        Argument<string> service = new("service") { Description = "The service." };
        Option<string?> server = ServerOption.Create();
        Option<string?> buildId = new("--build-id")
        {
            Description = "The build to take. Default: the one with most taken branches among those seen in the last day of profiles.",
            HelpName = "HEX",
        };
        Option<string?> binary = new("--binary")
        {
            Description = "Generate here, with this binary from the build store, instead of on the server; its build id is taken.",
            HelpName = "FILE",
        };
        Option<DateTimeOffset?> since = TimeOption.Create("--since", "Only profiles that end after this");
        Option<DateTimeOffset?> until = TimeOption.Create("--until", "Only profiles that start before this");
        Option<string> format = new("--format") { Description = "Format of the profile.", DefaultValueFactory = static _ => "extbinary" };
        format.AcceptOnlyFromAmong("extbinary", "text");
        Option<string?> output = new("--output", "-o")
        {
            Description = "File or folder to write to. In a folder the name is SERVICE.HASH.afdo. Default: $XDG_CACHE_HOME/perforator, else ~/.cache/perforator.",
            HelpName = "PATH",
        };
        Option<double?> minRatio = new("--min-ratio")
        {
            Description = "Exit with 3, and give no profile, when TakenBranchesToExecutableBytesRatio is below this.",
            HelpName = "R",
        };
        Option<bool> symbols = SymbolListOption.Create();
        LateInliningOption late = new();
        Option<bool> json = new("--json") { Description = "Report as JSON." };
        Command command = new("pgo",
            """
            Gets a service's sample profile. The report goes to standard error and the profile's path, alone, to standard output; equal profiles have equal paths.

            Example: clang++ -O2 -g -fprofile-sample-use="$(perforator pgo search --min-ratio 1)" …
            """)
        { service, server, buildId, binary, since, until, format, output, minRatio, symbols, late.Option, json };
        command.Check(result =>
        {
            if (result.GetValue(symbols) && result.GetValue(format) == "text")
                result.AddError("--symbol-list needs --format extbinary.");
        });
        command.SetAction((parsed, stop) => RunAsync(
            ServerOption.Resolve(parsed.GetValue(server)),
            new Request(parsed.GetValue(service)!, parsed.GetValue(buildId), parsed.GetValue(since), parsed.GetValue(until), parsed.GetValue(format)!, parsed.GetValue(symbols)),
            parsed.GetValue(binary), parsed.GetValue(output), parsed.GetValue(minRatio), parsed.GetValue(json), result => Late(result, late, parsed), stop));
        return command;
    }

    private static Result Late(Result result, LateInliningOption late, ParseResult parsed)
    {
        if (!parsed.GetValue(late.Option))
            return result;
        SampleProfile profile = SampleProfileReader.Parse(result.Bytes);
        late.Apply(parsed, profile);
        byte[] bytes = SampleProfileWriter.ToBytes(profile, SampleProfileReader.Detect(result.Bytes));
        return result with { Hash = Convert.ToHexStringLower(SHA256.HashData(bytes)), Bytes = bytes };
    }

    private sealed record Request(string Service, string? BuildId, DateTimeOffset? Since, DateTimeOffset? Until, string Format, bool SymbolList);

    /// <summary>A profile, from wherever it was generated.</summary>
    private sealed record Result(string Hash, byte[] Bytes, double Ratio, JsonObject Report, string ReportText, IReadOnlyList<OtherBuild> OtherBuilds);

    private static async Task<int> RunAsync(
        Uri server, Request request, string? binary, string? output, double? minRatio, bool json, Func<Result, Result> change, CancellationToken stop)
    {
        using ServerClient client = new(server);
        Result result = change(binary is null ? await AskAsync(client, request, stop) : await GenerateHereAsync(client, request, binary, stop));
        bool good = minRatio is null || result.Ratio >= minRatio;
        string? path = good ? ContentAddressedFile.Write(output, request.Service, result.Hash, result.Bytes) : null;
        if (json)
            ReportJson(result, path);
        else
            ReportText(result);
        if (path is null)
        {
            Console.Error.WriteLine($"perforator: the ratio {result.Ratio:0.###} is below --min-ratio {minRatio:0.###}, so no profile is given; record more, or lower the gate");
            return ExitCodes.QualityGate;
        }
        Console.Out.WriteLine(path);
        return ExitCodes.Ok;
    }

    private static async Task<Result> AskAsync(ServerClient client, Request request, CancellationToken stop)
    {
        PgoAnswer answer = await client.GetPgoAsync(request.Service, new PgoRequest
        {
            BuildId = request.BuildId,
            Since = request.Since,
            Until = request.Until,
            Format = request.Format,
            SymbolList = request.SymbolList,
        }, stop);
        byte[] bytes = await client.GetResultAsync(answer.Profile, stop);
        return new Result(answer.Profile, bytes, answer.Ratio, JsonObject.Create(answer.Report) ?? [], answer.ReportText, answer.OtherBuilds);
    }

    /// <summary>Takes the server's branches and the user's own binary, whose build id decides which branches.</summary>
    private static async Task<Result> GenerateHereAsync(ServerClient client, Request request, string binary, CancellationToken stop)
    {
        string buildId;
        using (ElfFile elf = ElfFile.Load(binary))
            buildId = elf.BuildId.ToString();
        if (request.BuildId is { } wanted && !string.Equals(wanted, buildId, StringComparison.OrdinalIgnoreCase))
            throw new UserErrorException($"{binary} has build id {buildId}, not {wanted}; give the binary of that build, or leave --build-id out");
        (BranchProfileSet set, long totalProfiles) = await client.GetBranchesAsync(
            request.Service, new PgoRequest { BuildId = buildId, Since = request.Since, Until = request.Until }, stop);
        ProfileForm form = new(request.Format == "text" ? SampleProfileFormat.Text : SampleProfileFormat.ExtBinary, request.SymbolList);
        GeneratedProfile generated = GeneratedProfile.Generate(set.Profiles.Values.Single(), totalProfiles, set.Losses, binary, LocalDebugFiles.Found, request.Service, form);
        return new Result(
            generated.Hash, generated.Bytes, generated.Report.TakenBranchesToExecutableBytesRatio,
            (JsonObject)JsonNode.Parse(generated.Report.ToJson())!, generated.Report.ToText(), []);
    }

    private static void ReportText(Result result)
    {
        foreach (string line in result.ReportText.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            Console.Error.WriteLine(ProfileLabels.Printable(line));
        foreach (OtherBuild other in result.OtherBuilds.Where(static other => other.Branches != 0))
            Console.Error.WriteLine(ProfileLabels.Printable(
                $"other binary: {other.BuildId} ({other.Path}), {other.Branches} branches, last seen {other.LastSeen:yyyy-MM-dd HH:mm} UTC; --build-id takes it"));
    }

    private static void ReportJson(Result result, string? path)
    {
        result.Report["profile"] = path;
        result.Report["otherBuilds"] = new JsonArray([.. result.OtherBuilds.Select(static other => new JsonObject
        {
            ["buildId"] = other.BuildId,
            ["path"] = other.Path,
            ["branches"] = other.Branches,
            ["lastSeen"] = other.LastSeen,
        })]);
        Console.Error.WriteLine(result.Report.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
    }
}
