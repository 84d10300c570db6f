using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Perforator.Api;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator functions SERVICE</c>: what is in a generated profile, as the web page shows it.</summary>
internal static class FunctionsCommand
{
    /// <summary>Nodes of the tree with less than this share of the samples are not printed; JSON has them.</summary>
    private const double LeastShare = 0.01;

    public static Command Create()
    {
        Argument<string> service = new("service") { Description = "The service." };
        Argument<string?> function =
            new("function") { Description = "Show this function in full: its linkage name.", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> server = ServerOption.Create();
        Option<string?> at =
            new("--at") { Description = "The profile with this hash, or its first 8 digits or more. Default: the current one.", HelpName = "HASH" };
        Option<string?> search = new("--search") { Description = "Only functions with this in their name.", HelpName = "TEXT" };
        Option<int?> limit = new("--limit") { Description = "How many, those with most samples first. Default: 50.", HelpName = "N" };
        Option<bool> tree = new("--tree") { Description = "Show inlining and calls as a tree." };
        Option<string?> from = new("--from") { Description = "With --tree: the samples of this profile beside.", HelpName = "HASH" };
        Option<bool> json = new("--json") { Description = "Print JSON as the API gives it." };
        Command command = new("functions",
            """
            Shows what is in a service's generated profile: its hot functions; one of them with its lines, their source as far as the server has it, callers and callees; or inlining and calls as a tree.

            Examples:
              perforator functions search
              perforator functions search _ZN5Query3runEv
              perforator functions search --tree --json
            """)
        { service, function, server, at, search, limit, tree, from, json };
        command.Check(result =>
        {
            if (result.GetValue(limit) is < 1 or > 1000)
                result.AddError("--limit is 1 to 1000.");
            if (result.GetValue(tree) && (result.GetValue(function) ?? result.GetValue(search)) is not null)
                result.AddError("--tree is of the whole profile; leave the function and --search out.");
            if (result.GetValue(from) is not null && !result.GetValue(tree))
                result.AddError("--from goes with --tree; 'perforator pgo --diff' compares functions.");
        });
        command.SetAction(async (parsed, stop) =>
        {
            using ServerClient client = new(ServerOption.Resolve(parsed.GetValue(server)));
            string name = parsed.GetValue(service)!;
            string hash = parsed.GetValue(at) ?? (await client.GetPgoAsync(name, new PgoRequest(), stop)).Profile;
            bool asJson = parsed.GetValue(json);
            if (parsed.GetValue(tree))
                Print(await client.GetTreeAsync(name, hash, parsed.GetValue(from), stop), asJson);
            else if (parsed.GetValue(function) is { } one)
                Print(await client.GetFunctionAsync(
                    name, hash, FunctionNameHash.Of(one).ToString(CultureInfo.InvariantCulture), stop), asJson);
            else
                Print(await client.ListFunctionsAsync(name, hash, parsed.GetValue(search), parsed.GetValue(limit) ?? 50, stop), asJson);
            return ExitCodes.Ok;
        });
        return command;
    }

    private static void Print(FunctionPage page, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(page, ApiJson.Default.FunctionPage));
            return;
        }
        TextTable table = new("Samples", "Share", "Head samples", "Inlined into", "Call targets", "Function");
        foreach (FunctionSummary function in page.Functions)
            table.Add(
                $"{function.Samples:N0}", Percent(function.Samples, page.TotalSamples), $"{function.HeadSamples:N0}",
                $"{function.InlinedInto}", $"{function.CallTargets}",
                function.Name);
        table.Write();
        if (page.Matched > page.Functions.Count)
            Console.Out.WriteLine($"and {page.Matched - page.Functions.Count} more: --limit, or --search TEXT");
    }

    private static void Print(FunctionDetail detail, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(detail, ApiJson.Default.FunctionDetail));
            return;
        }
        TextTable lines = new(detail.ByProbes ? "Probe" : "Line", "Samples", "In", "Source", "What");
        foreach (FunctionLine line in detail.Lines)
            lines.Add(
                new string(' ', 2 * line.Depth) + (detail.ByProbes ? "" : "+") + line.Line
                    + (line.Discriminator == 0 ? "" : $".{line.Discriminator}"), $"{line.Samples:N0}",
                line.Source is { } source ? $"{Path.GetFileName(source.File)}:{source.Line}" : "", line.Source?.Text?.Trim() ?? "",
                line.Inlined is { } inlined
                    ? $"inlined: {inlined}"
                    : string.Join(' ', line.Calls.Select(static call => $"calls {call.Name} {call.Samples:N0} times")));
        lines.Write();
        foreach ((string title, IReadOnlyList<RelatedFunction> related) in ((string, IReadOnlyList<RelatedFunction>)[])
            [("Inlined into", detail.InlinedInto), ("Callers", detail.Callers), ("Call targets", detail.Callees)])
        {
            if (related.Count == 0)
                continue;
            Console.Out.WriteLine();
            TextTable table = new(title, "Samples or calls");
            foreach (RelatedFunction one in related)
                table.Add(one.Name, $"{one.Samples:N0}");
            table.Write();
        }
    }

    private static void Print(ProfileTree tree, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(tree, ApiJson.Default.ProfileTree));
            return;
        }
        bool hasOther = tree.OtherSamples > 0;
        TextTable table = hasOther ? new("Share", "Other's", "Function") : new("Share", "Function");
        ILookup<int, int> children = Enumerable.Range(0, tree.Nodes.Count).ToLookup(i => (int)tree.Nodes[i][0]);
        Add(-1, 0);
        table.Write();

        void Add(int parent, int depth)
        {
            foreach (int i in children[parent].OrderByDescending(i => tree.Nodes[i][3]))
            {
                if (tree.Nodes[i][3] < LeastShare * tree.TotalSamples)
                    continue;
                string name = new string(' ', 2 * depth) + tree.Names[(int)tree.Nodes[i][1]]
                    + (tree.Nodes[i][2] == 1 ? " (inlined)" : ""), share = Percent(tree.Nodes[i][3], tree.TotalSamples);
                if (hasOther)
                    table.Add(share, Percent(tree.Nodes[i][4], tree.OtherSamples), name);
                else
                    table.Add(share, name);
                Add(i, depth + 1);
            }
        }
    }

    private static string Percent(double part, double whole) =>
        string.Create(CultureInfo.InvariantCulture, $"{(whole > 0 ? 100 * part / whole : 0):0.0} %");
}
