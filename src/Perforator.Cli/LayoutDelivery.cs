using Perforator.Api;
using Perforator.Branches;
using Perforator.Layout;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary>
/// <c>pgo --for bolt</c> and <c>--for propeller</c>: what the server has of one build, laid out here. A layout names addresses and blocks,
/// so it is of one file of one release: the binary at hand, which BOLT rewrites and Propeller's next build must equal, says which.
/// </summary>
internal static class LayoutDelivery
{
    /// <summary>Gets the branches of the binary's build, writes the layout's files and prints their paths, a line each.</summary>
    /// <param name="choice">The service, and of when; its binary is the one to lay out.</param>
    /// <param name="name">What the files' names begin with.</param>
    /// <exception cref="UserErrorException">The server has nothing of this build, or the binary is of no use for it; the message says
    /// why.</exception>
    public static async Task<int> RunAsync(
        ServerClient client, LayoutConsumer consumer, ProfileChoice choice, string name, bool json, CancellationToken stop)
    {
        LayoutOutput.Check(consumer, name);
        using LayoutBinary binary = LayoutBinary.Load(choice.Binary!, LocalDebugFiles.Found);
        LayoutFiles.Require(consumer, binary);
        BuildId build = binary.Elf.BuildId;
        if (choice.Request.BuildId is { } wanted && !build.ToString().StartsWith(wanted, StringComparison.OrdinalIgnoreCase))
            throw new UserErrorException(
                $"{binary.Path} has build id {build}, not {wanted}; give the binary of that build, or leave --build-id out");
        (BranchProfileSet set, long totalProfiles) = await client.GetBranchesAsync(
            choice.Selector.Service, choice.Request with { BuildId = build.ToString() }, stop);
        if (!set.Profiles.TryGetValue(build, out BranchProfile? branches))
            throw new UserErrorException(
                $"the server has nothing of {binary.Path} (build id {build}); see 'perforator services {choice.Selector.Service}'");
        LayoutReport report = new(branches, binary.Path, (ulong)totalProfiles, set.Losses);
        LayoutOutput.Write(consumer, branches, binary, name, report);
        foreach (string line in (json ? report.ToJson() : report.ToText()).Split('\n', StringSplitOptions.RemoveEmptyEntries))
            Console.Error.WriteLine(ProfileLabels.Printable(line));
        foreach (string suffix in LayoutFiles.Suffixes(consumer))
            Console.Out.WriteLine(Path.GetFullPath(name + suffix));
        return ExitCodes.Ok;
    }
}
