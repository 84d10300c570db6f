namespace Perforator.Branches;

/// <summary>
/// Names of events as perf has them: <c>cycles</c>, <c>cycles:u</c>, <c>cpu_core/cycles/u</c>, <c>br_inst_retired.near_taken:uppp</c>.
/// </summary>
public static class EventName
{
    /// <summary>Whether both name one event, whatever their modifiers, and on whatever PMU where one does not say.</summary>
    public static bool AreSame(string a, string b) =>
        string.Equals(a, b, StringComparison.Ordinal)
        || (Plain(a).Equals(Plain(b), StringComparison.OrdinalIgnoreCase)
            && (Pmu(a).Length == 0 || Pmu(b).Length == 0 || Pmu(a) == Pmu(b)));

    /// <summary>Whether samples of the event say how often code runs: cycles, cpu-clock or task-clock.</summary>
    public static bool MeasuresTime(string name) =>
        Plain(name).ToLowerInvariant() is "cycles" or "cpu-cycles" or "cpu-clock" or "task-clock";

    private static string Plain(string name)
    {
        name = name.Trim();
        string[] parts = name.Split('/');
        return parts.Length > 1 ? parts[1] : name.Split(':')[0];
    }

    private static string Pmu(string name) => name.Contains('/') ? name.Trim().Split('/')[0] : "";
}
