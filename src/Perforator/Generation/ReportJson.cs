using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>What the reports' JSON has in common: names in camelCase, reasons of loss as they are told.</summary>
internal static class ReportJson
{
    public static string Name(string property) => JsonNamingPolicy.CamelCase.ConvertName(property);

    public static JsonObject Of(LossCounts losses)
    {
        JsonObject json = [];
        foreach ((string reason, ulong count) in losses.ByReason)
            json[reason] = count;
        return json;
    }

    public static JsonObject Of(ProfileSummary summary) => new()
    {
        ["functions"] = summary.NumFunctions,
        ["counts"] = summary.NumCounts,
        ["totalCount"] = summary.TotalCount,
        ["maxCount"] = summary.MaxCount,
        ["maxFunctionCount"] = summary.MaxFunctionCount,
        ["cutoffs"] = new JsonArray([.. summary.Entries.ToArray().Select(static e => new JsonObject { ["cutoff"] = e.Cutoff, ["minCount"] = e.MinCount, ["counts"] = e.NumCounts })]),
    };

    public static JsonArray Of(IEnumerable<string> texts) => new([.. texts.Select(static text => JsonValue.Create(text))]);
}
