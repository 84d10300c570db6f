using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>What the reports' JSON has in common: names in camelCase, reasons of loss as they are told.</summary>
internal static class ReportJson
{
    /// <summary>An object of a report's fields.</summary>
    public static JsonObject Of(IEnumerable<(string Name, object Value)> fields)
    {
        JsonObject json = [];
        foreach ((string name, object value) in fields)
            json[JsonNamingPolicy.CamelCase.ConvertName(name)] = value switch
            {
                ulong number => number,
                int number => number,
                double number => number,
                _ => (JsonNode)value.ToString()!,
            };
        return json;
    }

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
        ["cutoffs"] = new JsonArray(
            [.. summary.Entries.ToArray()
                .Select(static e => new JsonObject { ["cutoff"] = e.Cutoff, ["minCount"] = e.MinCount, ["counts"] = e.NumCounts })]),
    };

    public static JsonArray Of(IEnumerable<string> texts) => new([.. texts.Select(static text => JsonValue.Create(text))]);
}
