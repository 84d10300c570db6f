using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Recording;
using Perforator.Recording.Prerequisites;

namespace Perforator.Cli;

/// <summary><c>perforator doctor</c>: what works here, and what to do about the rest.</summary>
internal static partial class DoctorCommand
{
    public static Command Create()
    {
        Option<string?> server = ServerOption.Create();
        Option<bool> json = new("--json") { Description = "Print JSON." };
        Option<bool> report = new("--report")
        {
            Description = "Print, as JSON, what this machine has of branch records and what came of trying them, to send to whoever lacks such a machine. "
                + "Names CPU, kernel, hypervisor and settings; no host, user, process, address or path of yours.",
        };
        Command command = new("doctor",
            """
            Tries everything recording and compiling need and says what works, what will be used and how to mend the rest. The exit code is 0
            if branches can be recorded here in some way, else 1.

            Examples:
              sudo perforator doctor
              sudo perforator doctor --report > report.json
            """)
        { server, json, report };
        command.SetAction((parsed, stop) => parsed.GetValue(report)
            ? Task.FromResult(Report())
            : RunAsync(parsed.GetValue(server), parsed.GetValue(json), stop));
        return command;
    }

    private static async Task<int> RunAsync(string? server, bool json, CancellationToken stop)
    {
        RecordingPrerequisites recording = RecordingPrerequisites.Try();
        Prerequisite[] all =
            [.. recording.All, .. Agent.AgentOutlook.Tell(), .. CompilerPrerequisites.Try(), await TryServerAsync(server, stop)];
        Diagnosis diagnosis =
            new(recording.Source switch
            {
                BranchSource.Lbr => "lbr",
                BranchSource.Software => "software",
                _ => null
            }, Describe(recording.Source), all);
        if (json)
            Console.Out.WriteLine(JsonSerializer.Serialize(diagnosis, DoctorJson.Default.Diagnosis));
        else
            Print(diagnosis);
        return recording.Source is null ? ExitCodes.Failed : ExitCodes.Ok;
    }

    private static int Report()
    {
        Console.Out.WriteLine(JsonSerializer.Serialize(MachineReport.Make(), DoctorJson.Default.MachineReport));
        return ExitCodes.Ok;
    }

    private static string Describe(BranchSource? source) => source switch
    {
        BranchSource.Lbr => "hardware branch records",
        BranchSource.Software => "the software recorder",
        _ => "nothing: branches cannot be recorded here until one of the above is mended",
    };

    private static void Print(Diagnosis diagnosis)
    {
        foreach (Prerequisite p in diagnosis.Prerequisites)
        {
            string mark = p.IsMet switch { true => "✓", false => "✗", null => "·" };
            Console.Out.WriteLine($"{mark} {p.Name}: {ProfileLabels.Printable(p.Found)}");
            if (p.Remedy is not null)
                Console.Out.WriteLine($"    → {p.Remedy}");
        }
        Console.Out.WriteLine();
        Console.Out.WriteLine($"Will be used: {diagnosis.WillUse}");
    }

    private static async Task<Prerequisite> TryServerAsync(string? server, CancellationToken stop)
    {
        const string Name = "Server";
        if (server is null && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("PERFORATOR_SERVER")))
            return new(Name, null, "not tried: neither PERFORATOR_SERVER nor --server names one");
        try
        {
            using ServerClient client = new(ServerOption.Resolve(server));
            int services = (await client.ListServicesAsync(stop)).Count;
            return new(Name, true, $"{client.Address} answers and has {services} {(services == 1 ? "service" : "services")}");
        }
        catch (UserErrorException e)
        {
            return new(Name, false, e.Message);
        }
    }

    /// <summary>What <c>doctor --json</c> prints.</summary>
    /// <param name="Source"><c>lbr</c>, <c>software</c> or null.</param>
    /// <param name="WillUse">The same for people.</param>
    /// <param name="Prerequisites">Everything that was tried.</param>
    internal sealed record Diagnosis(string? Source, string WillUse, IReadOnlyList<Prerequisite> Prerequisites);

    [JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
    [JsonSerializable(typeof(Diagnosis))]
    [JsonSerializable(typeof(MachineReport))]
    private sealed partial class DoctorJson : JsonSerializerContext;
}
