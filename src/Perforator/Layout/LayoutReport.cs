using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perforator.Branches;

namespace Perforator.Layout;

/// <summary>What a layout was made of, what it comes to, and what its consumer cannot use: what goes to standard error.</summary>
public sealed class LayoutReport
{
    private readonly List<(string Name, object Value)> fields = [];
    private readonly List<(ulong Count, ulong Of, string What)> findings = [];
    private readonly LossCounts losses = new();

    /// <param name="branches">What was observed of the binary.</param>
    /// <param name="binary">Its path, for people.</param>
    /// <param name="totalProfiles">How many files or uploads it came in.</param>
    /// <param name="inputLosses">What was dropped before it could be attributed to the binary.</param>
    public LayoutReport(BranchProfile branches, string binary, ulong totalProfiles, LossCounts inputLosses)
    {
        losses.Merge(branches.Losses);
        losses.Merge(inputLosses);
        Add("BuildId", branches.BuildId.ToString());
        Add("Binary", binary);
        Add("TotalProfiles", totalProfiles);
        Add("TotalSamples", branches.Samples);
        Add("TotalBranches", branches.Branches.InternalTotal);
    }

    /// <summary>How the inputs were understood and what is to be done next where that is not plain, a sentence each.</summary>
    public List<string> Notes { get; } = [];

    /// <summary>Adds a figure.</summary>
    /// <param name="value">A text, whole number or double.</param>
    public void Add(string name, object value) => fields.Add((name, value));

    /// <summary>Adds what cannot be used of how much, unless it is nothing.</summary>
    public void AddFinding(ulong count, ulong of, string what)
    {
        if (count != 0)
            findings.Add((count, of, what));
    }

    /// <summary>The report for people, a line each.</summary>
    public string ToText()
    {
        StringBuilder text = new();
        foreach ((string name, object value) in fields)
            text.Append(CultureInfo.InvariantCulture, $"{name}: {(value is double number ? number.ToString("0.###", CultureInfo.InvariantCulture) : value)}\n");
        foreach ((ulong count, ulong of, string what) in findings)
            text.Append(CultureInfo.InvariantCulture, $"{100.0 * count / Math.Max(of, 1):0.00} % ({count} of {of}) {what}\n");
        foreach ((string reason, ulong count) in losses.LargestFirst())
            text.Append(CultureInfo.InvariantCulture, $"lost: {count}: {reason}\n");
        foreach (string note in Notes)
            text.Append(note).Append('\n');
        return text.ToString();
    }

    /// <summary>The report for machines: one JSON object.</summary>
    public string ToJson()
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
        json["findings"] = new JsonArray(
            [.. findings.Select(f => new JsonObject { ["count"] = f.Count, ["of"] = f.Of, ["what"] = f.What })]);
        JsonObject lost = [];
        foreach ((string reason, ulong count) in losses.ByReason)
            lost[reason] = count;
        json["losses"] = lost;
        json["notes"] = new JsonArray([.. Notes.Select(note => JsonValue.Create(note))]);
        return json.ToJsonString(new JsonSerializerOptions { WriteIndented = true });
    }
}
