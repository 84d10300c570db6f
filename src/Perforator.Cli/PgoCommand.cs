using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.Api;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary><c>perforator pgo SERVICE</c>: the service's sample profile. Report on stderr, the profile's path on stdout.</summary>
internal static class PgoCommand
{
    /// <summary>How far back in the history another profile is looked for that <c>--diff</c> compares with.</summary>
    private const int HistorySearched = 200;

    public static Command Create()
    {
        ProfileDelivery delivery = new(ArgumentArity.ExactlyOne);
        Option<string?> fit = new("--fit")
        {
            Description = "Also tell how far the profile fits a build: a binary here, or the build id of one that the server has.",
            HelpName = "BINARY",
        };
        Option<string?> diff = new("--diff")
        {
            Description = "Also tell what changed since another profile of the service, by its hash; without one, since the last that was another.",
            HelpName = "HASH",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Command command = new("pgo",
            """
            Gets a service's sample profile, one of all its files and releases. The report goes to standard error and the profile's path, alone, to standard output; equal profiles have equal paths.

            Example: clang++ -O2 -g -fprofile-sample-use="$(perforator pgo search --min-ratio 1)" …
            """);
        delivery.AddTo(command, withForm: true);
        OptimiserOption optimiser = delivery.Choice.Optimiser;
        command.Add(fit);
        command.Add(diff);
        command.Check(result =>
        {
            if (LayoutOutput.Consumer(optimiser.Of(result)) is not null)
                delivery.CheckLayout(result, fit, diff);
            if (optimiser.Of(result) == Optimiser.Go)
                foreach (Option option in (Option[])[fit, diff])
                    if (result.GetResult(option) is not null)
                        result.AddError($"{option.Name} reads the profile, and Go's form is only written; ask without --for go.");
            if (result.GetResult(diff) is not null && result.GetResult(delivery.Choice.Binary) is not null)
                result.AddError("--diff compares profiles that the server keeps; leave --binary out.");
        });
        command.SetAction(async (parsed, stop) =>
        {
            ProfileChoice choice = delivery.Choice.Of(parsed);
            using ServerClient client = new(choice.Server);
            if (LayoutOutput.Consumer(optimiser.Of(parsed)) is { } consumer)
                return await LayoutDelivery.RunAsync(client, consumer, choice, delivery.OutputOf(parsed)!, delivery.IsJson(parsed), stop);
            ProfileDelivery.Result result = await delivery.RunAsync(parsed, client, choice, async acquired =>
            {
                List<ProfileDelivery.Finding> findings = [];
                if (parsed.GetValue(fit) is { } build)
                    findings.Add(await FitAsync(client, choice, acquired, build, stop));
                if (parsed.GetResult(diff) is not null)
                    findings.Add(await DiffAsync(client, choice, acquired, parsed.GetValue(diff), stop));
                return findings;
            }, stop);
            if (result.Path is not null)
                Console.Out.WriteLine(result.Path);
            return result.ExitCode;
        });
        return command;
    }

    private static async Task<ProfileDelivery.Finding> FitAsync(
        ServerClient client, ProfileChoice choice, AcquiredProfile acquired, string build, CancellationToken stop)
    {
        if (!File.Exists(build) && acquired.Kept is not null && BuildId.TryParse(build, out BuildId id))
        {
            FitAnswer answer = await client.GetFitAsync(choice.Selector.Service, acquired.Kept, id.ToString(), stop);
            return new("fit", $"fit to build {answer.BuildId}:\n{answer.ReportText}", JsonObject.Create(answer.Report), WasAskedFor: true);
        }
        using ProfiledBinary binary = ProfiledBinary.Load(build, LocalDebugFiles.Found);
        ProfileFit fit = ProfileFit.Of(SampleProfileReader.Parse(acquired.Bytes), binary);
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"fit to {build}: {100 * fit.Share:0.##} % of the samples find their place ({fit.FittingSamples} of {fit.TotalSamples})\n");
        foreach (FitLoss loss in fit.Losses)
            text.Append(CultureInfo.InvariantCulture, $"  {loss.Samples} samples of {loss.Function}: {loss.Reason}\n");
        return new("fit", text.ToString(), new JsonObject
        {
            ["buildId"] = binary.BuildId.ToString(),
            ["share"] = fit.Share,
            ["fittingSamples"] = fit.FittingSamples,
            ["totalSamples"] = fit.TotalSamples,
            ["losses"] = new JsonArray(
                [.. fit.Losses.Select(
                    static loss => new JsonObject { ["function"] = loss.Function, ["samples"] = loss.Samples, ["reason"] = loss.Reason })]),
        }, WasAskedFor: true);
    }

    private static async Task<ProfileDelivery.Finding> DiffAsync(
        ServerClient client, ProfileChoice choice, AcquiredProfile acquired, string? from, CancellationToken stop)
    {
        string service = choice.Selector.Service;
        from ??= (await client.GetHistoryAsync(service, HistorySearched, null, stop)).Entries
            .FirstOrDefault(entry => entry.Profile != acquired.Kept && entry.Selector == choice.Selector.ToString())?.Profile;
        if (from is null)
            return new("diff", "diff: no other profile of it has been generated yet", null, WasAskedFor: true);
        ProfileDiff diff = await client.GetDiffAsync(service, from, acquired.Kept!, stop);
        return new("diff", diff.Text, JsonSerializer.SerializeToNode(diff, ApiJson.Default.ProfileDiff), WasAskedFor: true);
    }
}
