using System.Globalization;
using Perforator.Api;
using Perforator.Branches;
using Spectre.Console;

namespace Perforator.Cli.Agent;

/// <summary>What an agent shows on stderr: a table on a terminal, lines elsewhere (systemd's journal, a container's log).</summary>
internal sealed class AgentStatus
{
    /// <summary>From here on, more samples hardly change the profile (docs/guide.md).</summary>
    private const double GoodRatio = 1.0;

    /// <summary>Services shown at a time, those with the most branches.</summary>
    private const int MaxLines = 20;

    private sealed class Service
    {
        public int Processes;
        public ulong Samples;
        public ulong Branches;
        public double? Ratio;
        public double? Rate;
    }

    private readonly Lock gate = new();
    private readonly SortedDictionary<string, Service> services = new(StringComparer.Ordinal);
    private readonly IAnsiConsole? terminal;
    private readonly HashSet<string> unreadable = new(StringComparer.Ordinal);
    private readonly HashSet<BuildId> warned = [];
    private readonly HashSet<string> named;
    private string? trouble;
    private string? notice;
    private string? unplanned;
    private string? own;

    /// <param name="expected">Services to show even while none of their processes runs.</param>
    public AgentStatus(IEnumerable<string> expected)
    {
        terminal = Console.IsErrorRedirected
            ? null : AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        named = [.. expected];
        foreach (string service in named)
            Of(service);
    }

    /// <summary>Whether somebody looks on.</summary>
    public bool IsShown => terminal is not null;

    /// <summary>Shows the table until the work is done; without a terminal, just waits for it.</summary>
    public Task ShowAsync(Task work) => terminal is null ? work : terminal.Live(NewTable()).StartAsync(async context =>
    {
        while (!work.IsCompleted)
        {
            await Task.WhenAny(work, Task.Delay(500));
            context.UpdateTarget(NewTable());
        }
        await work;
    });

    /// <summary>Which services run now.</summary>
    public void SetRunning(IReadOnlyDictionary<string, int> running)
    {
        lock (gate)
        {
            foreach (Service service in services.Values)
                service.Processes = 0;
            foreach ((string name, int processes) in running)
                Of(name).Processes = processes;
        }
    }

    /// <summary>Adds what was recorded of a service in one interval.</summary>
    public void AddRecorded(BranchProfileSet set)
    {
        lock (gate)
        {
            Service service = Of(set.Service!);
            service.Samples += set.TotalSamples;
            service.Branches += set.Profiles.Values.Aggregate(0UL, (sum, p) => sum + p.BranchEntries);
        }
    }

    /// <summary>
    /// What the server plans for a service: the share of what its budget allows that is wanted, and the ratio that its main build has.
    /// </summary>
    public void SetPlan(string service, double rate, double? ratio)
    {
        lock (gate)
            (Of(service).Rate, Of(service).Ratio) = (rate, ratio);
    }

    /// <summary>Says, once until it changes, why the server makes no plan; null when it does, or is away.</summary>
    public void SetUnplanned(string? message)
    {
        lock (gate)
            SayChange(ref unplanned, message, otherwise: null);
    }

    /// <summary>Says, once until it changes, what keeps profiles from being sent; null when nothing does.</summary>
    public void SetTrouble(string? message)
    {
        lock (gate)
            SayChange(ref trouble, message, otherwise: "the server takes profiles again");
    }

    /// <summary>Says, once until it changes, what is the matter with the recording; null when nothing is.</summary>
    public void SetNotice(string? message)
    {
        lock (gate)
            SayChange(ref notice, message, otherwise: "recording on all CPUs at the default rate again");
    }

    /// <summary>Keeps a message, and says it where no table shows it when it is another than before.</summary>
    /// <param name="otherwise">What is said when the message goes away; null for nothing.</param>
    private void SayChange(ref string? kept, string? message, string? otherwise)
    {
        if (message == kept)
            return;
        kept = message;
        if (terminal is null && (message ?? otherwise) is { } line)
            Say(line);
    }

    /// <summary>Says, once each, which mapped files cannot be used.</summary>
    public void SetUnreadable(IReadOnlyDictionary<string, string> reasons)
    {
        lock (gate)
            foreach ((string path, string reason) in reasons)
                if (unreadable.Add(path) && terminal is null)
                    Say($"branches in {ProfileLabels.Printable(path)} are not counted: {reason}");
    }

    /// <summary>
    /// Says, once each, what the server lacks of a service's busy binaries and what they lack themselves, so that no profile can be made of
    /// them.
    /// </summary>
    /// <param name="detail">What the server has.</param>
    /// <param name="shortcoming">What a binary of this host lacks.</param>
    public void SetUnusable(ServiceDetail detail, Func<BuildId, string?> shortcoming)
    {
        double all = detail.Builds.Sum(static build => (double)build.Branches);
        lock (gate)
            foreach (BuildSummary build in detail.Builds)
                if (build.Branches >= all * BinaryShortcomings.WorthWarning && all > 0 && BuildId.TryParse(build.BuildId, out BuildId id)
                    && (!build.HasDebugInfo || id.IsContentHash) && shortcoming(id) is { } lacks && warned.Add(id) && terminal is null)
                    Say(ProfileLabels.Printable(string.Create(CultureInfo.InvariantCulture,
                        $"warning: {detail.Service}: {build.Path} ({100 * build.Branches / all:0.#} % of the branches) {lacks}")));
    }

    /// <summary>
    /// Writes a line for each service and one of the agent itself; on a terminal, where the table is, it is the table's caption.
    /// </summary>
    public void WriteLines(string agent)
    {
        own = agent;
        if (terminal is not null)
            return;
        lock (gate)
        {
            foreach ((string name, Service service) in services.Where(
                s => s.Value.Ratio is not null || s.Value.Samples != 0 || named.Contains(s.Key))
                .OrderByDescending(s => s.Value.Branches).Take(MaxLines))
                Say($"{name}: {Processes(service)}, {service.Samples:N0} branch stacks, {service.Branches:N0} branches, "
                    + $"TakenBranchesToExecutableBytesRatio {Ratio(service)}, wanted rate {Rate(service)}");
            Say($"agent: {agent}");
            if (services.Count > MaxLines)
                Say($"and {services.Count - MaxLines} services more; 'perforator services' lists them");
        }
    }

    public static void Say(string line) => Console.Error.WriteLine($"perforator: {line}");

    private Table NewTable()
    {
        Table table = new() { Border = TableBorder.Simple };
        table.AddColumns("Service", "Processes", "Branch stacks", "Branches", "Ratio", "Wanted rate");
        lock (gate)
        {
            foreach ((string name, Service service) in services.OrderByDescending(s => s.Value.Branches).Take(MaxLines))
                table.AddRow(
                    new Text(name), new Text($"{service.Processes}"), new Text($"{service.Samples:N0}"), new Text($"{service.Branches:N0}"),
                    new Text(Ratio(service)), new Text(Rate(service)));
            if ((trouble ?? notice ?? unplanned ?? own) is { } caption)
                table.Caption = new TableTitle(Markup.Escape(ProfileLabels.Printable(caption)));
        }
        return table;
    }

    private Service Of(string name)
    {
        if (!services.TryGetValue(name, out Service? service))
            services.Add(name, service = new Service());
        return service;
    }

    private static string Processes(Service service) => service.Processes switch
    {
        0 => "no process (none matches, or none may be looked into: see 'perforator doctor')",
        1 => "1 process",
        int many => $"{many} processes",
    };

    private static string Rate(Service service) => service.Rate?.ToString("G3", CultureInfo.InvariantCulture) ?? "not known yet";

    private static string Ratio(Service service) => service.Ratio is { } ratio
        ? ratio.ToString("0.000", CultureInfo.InvariantCulture)
            + (ratio >= GoodRatio ? " (good)" : string.Create(CultureInfo.InvariantCulture, $" of {GoodRatio:0.0}"))
        : "not known yet";
}
