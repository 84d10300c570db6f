using System.CommandLine;
using Perforator.Branches;
using Perforator.Server.Http;

namespace Perforator.Cli;

/// <summary><c>perforator import</c>: files that others recorded, into the server.</summary>
internal static class ImportCommand
{
    public static Command Create()
    {
        Argument<string[]> files = new("file")
        {
            Description = "perf.data, text of perf script, counts of BOLT (pre-aggregated) or AutoFDO (text; these two need --binary), pprof (lbr/stacks) or a file of perforator record; the kind is told by the content.",
            Arity = ArgumentArity.OneOrMore,
        };
        Option<string> service = new("--service") { Description = "The service the files are of.", HelpName = "NAME", Required = true };
        Option<string[]> binaries = new("--binary")
        {
            Description = "A binary of interest, which the recording may have under another path; may be given again. Default: all that lie where the recording has them.",
            HelpName = "FILE",
        };
        Option<string?> server = ServerOption.Create();
        Command verb = new("import",
            """
            Sends branches that other tools recorded to the server, as profiles of a service, with the binaries it needs.

            Importing a file again changes nothing. docs/inputs.md tells how each kind of file is understood.

            Example: perforator import perf.data --service search --binary ./search-server
            """)
        { files, service, binaries, server };
        verb.Check(result =>
        {
            if (result.GetValue(service) is { } name && !ProfileLabels.IsName(name))
                result.AddError($"'{name}' cannot name a service: use letters, digits, '.', '_' and '-'");
        });
        verb.SetAction((parsed, stop) => RunAsync(
            parsed.GetValue(files)!, parsed.GetValue(service)!, parsed.GetValue(binaries) ?? [], ServerOption.Resolve(parsed.GetValue(server)), stop));
        return verb;
    }

    private static async Task<int> RunAsync(string[] files, string service, string[] binaries, Uri server, CancellationToken stop)
    {
        FileModules modules = new(binaries);

        // All are read before any is sent: a bad file imports nothing.
        List<(string File, BranchProfileSet Set)> sets = [];
        foreach (string file in files)
        {
            BranchProfileSet set = RecordedFile.Read(file, modules, service);
            if (set.Profiles.Count == 0)
                throw new UserErrorException($"{file} has no branches in {(binaries.Length > 0 ? string.Join(" or ", binaries) : "any binary found here")}{WhyNone(modules, set)}");
            sets.Add((file, set));
        }
        using ServerClient client = new(server);
        HashSet<BuildId> sent = [];
        foreach ((string file, BranchProfileSet set) in sets)
        {
            UploadReceipt receipt = await client.UploadProfileAsync(set, stop);
            Report(file, set, receipt);
            foreach (BuildId buildId in set.Profiles.Keys)
            {
                if (!receipt.WantedBinaries.Contains(buildId.ToString()) || modules.FileOf(buildId) is not { } path || !sent.Add(buildId))
                    continue;
                if (!modules.Named.Contains(buildId) && !FileModules.HasDebugInfo(path))
                    continue;
                await client.UploadBinaryAsync(buildId, path, stop);
                Console.Error.WriteLine($"perforator: sent the binary {path} ({buildId})");
            }
        }
        return ExitCodes.Ok;
    }

    private static void Report(string file, BranchProfileSet set, UploadReceipt receipt)
    {
        UInt128 branches = 0;
        foreach (BranchProfile profile in set.Profiles.Values)
            branches += profile.BranchEntries;
        Console.Error.WriteLine($"perforator: {file}: {set.TotalSamples:N0} samples, {branches:N0} branches in {set.Profiles.Count} binaries"
            + (receipt.Duplicate ? "; the server had it already" : ""));
        foreach ((string reason, ulong count) in set.Losses.ByReason)
            Console.Error.WriteLine($"perforator: {file}: lost {count:N0}: {reason}");
        if (branches == 0)
            Console.Error.WriteLine($"perforator: {file} has no branch stacks: profiles made of sampled addresses are of lower quality; perforator record needs no special CPU");
    }

    private static string WhyNone(FileModules modules, BranchProfileSet set) =>
        modules.Unresolved.Count > 0 ? $": {modules.Unresolved.First().Key}: {modules.Unresolved.First().Value}; name the binary with --binary" : BranchInputs.MainLoss(set.Losses);
}
