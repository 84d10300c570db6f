using System.CommandLine;
using Perforator.Api;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Cli;

/// <summary>
/// <c>perforator binaries put FILE…</c>: gives the server binaries and debug files, as a build does before its release runs.
/// </summary>
internal static class BinariesCommand
{
    public static Command Create()
    {
        Argument<string[]> files = new("file")
        {
            Description = "An executable, library, debug file (objcopy --only-keep-debug) or file that dwz -m moved debug info to.",
            Arity = ArgumentArity.OneOrMore,
        };
        Option<string?> server = ServerOption.Create();
        Option<string?> buildId =
            new("--build-id") { Description = "The build that one package of split DWARF (.dwp) is of; it has no build id itself.", HelpName = "HEX" };
        Command put = new("put",
            """
            Uploads binaries and debug files, each under its build id. What the server has already is not sent, nor are parts of a large file
            that arrived before an upload was cut; a file with debug info takes the place of a stripped one. Prints build id and file, a line
            for each.

            Example: perforator binaries put build/searchd build/searchd.debug
            """)
        { files, server, buildId };
        put.SetAction(
            (parsed, stop) =>
                PutAsync(parsed.GetValue(files)!, ServerOption.Resolve(parsed.GetValue(server)), parsed.GetValue(buildId), stop));
        return new Command("binaries",
            """
            Gives the server binaries and debug files from a build, before a release runs.

            Example: perforator binaries put build/searchd
            """)
        { put };
    }

    private static async Task<int> PutAsync(string[] files, Uri server, string? buildId, CancellationToken stop)
    {
        // All are looked at before one is sent.
        List<(BuildId Id, string Path)> uploads = [.. files.Select(file => (IdOf(file, buildId), file))];
        using ServerClient client = new(server, retries: 3);
        foreach ((BuildId id, string path) in uploads)
        {
            try
            {
                await client.UploadBinaryAsync(id, path, stop, isPackage: buildId is not null);
            }
            catch (ServerException e) when (e.IsWorthRepeating)
            {
                throw new ServerException(
                    e.Failure, $"{path} is not with the server: {e.Message}; run this again: what has arrived is not sent twice", e);
            }
            Console.Out.WriteLine($"{id} {path}");
        }
        return ExitCodes.Ok;
    }

    private static BuildId IdOf(string path, string? given)
    {
        if (given is not null)
            return BuildId.TryParse(given, out BuildId id) ? id : throw new UserErrorException($"--build-id {given} is not a build id");
        try
        {
            using ElfFile elf = ElfFile.Load(path);
            return elf.BuildId;
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"{path} is not a whole ELF file ({e.Message}); give the binary or its debug file", e);
        }
    }
}
