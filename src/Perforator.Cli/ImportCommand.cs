using System.CommandLine;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Inputs;

namespace Perforator.Cli;

/// <summary><c>perforator import</c>: files that others recorded, into the server.</summary>
internal static class ImportCommand
{
    public static Command Create()
    {
        Argument<string[]> files = new("file")
        {
            Description = "A file, pipe or - (standard input): perf.data, text of perf script, counts of BOLT (pre-aggregated) or AutoFDO (text; these two need --binary), pprof (lbr/stacks) or a file of perforator record; the kind is told by the content.",
            Arity = ArgumentArity.OneOrMore,
        };
        Option<string> service = new("--service") { Description = "The service the files are of.", HelpName = "NAME", Required = true };
        Option<string[]> binaries = new("--binary")
        {
            Description = "A binary of interest, which the recording may have under another path; may be given again. Default: all that lie where the recording has them.",
            HelpName = "FILE",
        };
        Option<string?> recordedAs = RecordingInputOptions.RecordedAs();
        Option<string?> perfEvent = RecordingInputOptions.Event();
        Option<string?> server = ServerOption.Create();
        Command verb = new("import",
            """
            Sends branches that other tools recorded to the server, as profiles of a service, with the binaries it needs.

            Importing a file again changes nothing. A pipe is another recording each time; where it cannot be sent, what it held is kept in a file.
            docs/inputs.md tells how each kind of file is understood.

            Examples:
              perforator import perf.data --service search --binary ./search-server
              perf record -j any,u -o - -p $(pidof search-server) -- sleep 60 | perforator import - --service search
            """)
        { files, service, binaries, recordedAs, perfEvent, server };
        verb.Check(result =>
        {
            if (result.GetValue(service) is { } name && !ProfileLabels.IsName(name))
                result.AddError($"'{name}' cannot name a service: use letters, digits, '.', '_' and '-'");
            if (result.GetValue(recordedAs) is not null && result.GetValue(binaries) is not [_])
                result.AddError("--recorded-as says of one file what recordings have it as: give that one with --binary.");
        });
        verb.SetAction((parsed, stop) => RunAsync(
            parsed.GetValue(files)!, parsed.GetValue(service)!,
            new FileModules(parsed.GetValue(binaries) ?? [], parsed.GetValue(recordedAs)),
            new InputOptions { Event = parsed.GetValue(perfEvent) }, ServerOption.Resolve(parsed.GetValue(server)), stop));
        return verb;
    }

    private static async Task<int> RunAsync(
        string[] files, string service, FileModules modules, InputOptions options, Uri server, CancellationToken stop)
    {
        // All are read before any is sent: a bad file imports nothing.
        List<RecordedInput> recordings = [];
        foreach (string file in files)
        {
            RecordedInput recording = Recordings.Read(file, modules.Binaries, options: options);
            recording.Set.Labels[ProfileLabels.Service] = service;
            recordings.Add(recording);
        }
        using ServerClient client = new(server);
        HashSet<BuildId> sent = [];
        for (int i = 0; i < recordings.Count; i++)
        {
            try
            {
                await SendAsync(client, recordings[i], modules, sent, stop);
            }
            catch (UserErrorException e)
            {
                List<RecordedInput> pipes = [.. recordings.Skip(i).Where(static recording => recording.IsPipe)];
                if (pipes.Count == 0)
                    throw;
                IEnumerable<string> binariesOfUse = pipes.SelectMany(static pipe => pipe.Set.Profiles.Keys).Distinct()
                    .Where(modules.IsOfUse).Select(buildId => $" --binary {modules.FileOf(buildId)}");
                throw new UserErrorException(
                    $"{e.Message}; what came through the pipe is kept, and this sends it: perforator import {string.Join(' ', pipes.Select(Keep))} --service {service} --server {server}{string.Concat(binariesOfUse)}", e);
            }
        }
        return ExitCodes.Ok;
    }

    private static async Task SendAsync(
        ServerClient client, RecordedInput recording, FileModules modules, HashSet<BuildId> sent, CancellationToken stop)
    {
        UploadReceipt receipt = await client.UploadProfileAsync(recording.Set, stop);
        Report(recording.Name, recording.Set, receipt);
        foreach (BuildId buildId in recording.Set.Profiles.Keys)
        {
            if (!receipt.WantedBinaries.Contains(buildId.ToString()) || !modules.IsOfUse(buildId) || !sent.Add(buildId))
                continue;
            string path = modules.FileOf(buildId)!;
            await client.UploadBinaryAsync(buildId, path, stop);
            Console.Error.WriteLine($"perforator: sent the binary {path} ({buildId})");
        }
    }

    /// <summary>Writes what came through a pipe, as it was to be sent, into a file here: its name says what it holds.</summary>
    private static string Keep(RecordedInput recording)
    {
        const int HashDigits = 12;
        byte[] encoded = BranchProfileCodec.Encode(recording.Set);
        string path = $"{recording.Set.Service}.{BranchProfileCodec.ContentHash(encoded)[..HashDigits]}{BranchProfileCodec.FileExtension}";
        WholeFile.Write(path, encoded);
        return path;
    }

    private static void Report(string file, BranchProfileSet set, UploadReceipt receipt)
    {
        UInt128 branches = 0;
        foreach (BranchProfile profile in set.Profiles.Values)
            branches += profile.BranchEntries;
        Console.Error.WriteLine(
            $"perforator: {file}: {set.TotalSamples:N0} samples, {branches:N0} branches in {set.Profiles.Count} binaries"
            + (receipt.Duplicate ? "; the server had it already" : ""));
        foreach ((string reason, ulong count) in set.Losses.ByReason)
            Console.Error.WriteLine($"perforator: {file}: lost {count:N0}: {reason}");
        if (branches == 0)
            Console.Error.WriteLine(
                $"perforator: {file} has no branch stacks: profiles made of sampled addresses are of lower quality; perforator record needs no special CPU");
    }
}
