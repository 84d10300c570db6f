using System.Collections.Concurrent;
using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.EndToEnd;

/// <summary>What README and docs tell people to type exists, and every verb shows an example of itself that would parse.</summary>
public partial class DocumentedCommandsTests
{
    private static readonly ConcurrentDictionary<string, string> Helps = new(StringComparer.Ordinal);

    public static TheoryData<string> Pages()
    {
        string root = Tool.RepositoryRoot();
        IEnumerable<string> pages = Directory.EnumerateFiles(root, "*.md")
            .Concat(Directory.EnumerateFiles(Path.Combine(root, "docs"), "*.md", SearchOption.AllDirectories))
            .Concat(Directory.EnumerateFiles(Path.Combine(root, "samples"), "*.md"));
        return [.. pages.Select(page => Path.GetRelativePath(root, page)).Order(StringComparer.Ordinal)];
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void Verbs_and_options_in_the_docs_exist(string page)
    {
        string text = File.ReadAllText(Path.Combine(Tool.RepositoryRoot(), page));
        string[] faults = [.. Code(text).SelectMany(Faults).Distinct().Select(fault => $"{page}: {fault}")];
        Assert.True(faults.Length == 0, string.Join('\n', faults));
    }

    [Fact]
    public void Every_verb_shows_an_example_whose_options_exist()
    {
        List<string> faults = [];
        foreach (string verb in Verbs(""))
        {
            string help = Help(verb);
            IEnumerable<string> examples =
                help.Split('\n').Where(line => line.Contains($"perforator {verb}", StringComparison.Ordinal) && !IsUsageLine(line));
            if (!examples.Any())
                faults.Add($"perforator {verb} --help has no example");
            faults.AddRange(examples.SelectMany(Faults));
        }
        Assert.True(faults.Count == 0, string.Join('\n', faults));
    }

    [Fact]
    public void The_list_of_verbs_has_a_line_for_each()
    {
        IEnumerable<string> listed =
            Help("").Split('\n').SkipWhile(line => line != "Commands:").Skip(1).TakeWhile(line => line.Length != 0);
        Assert.All(listed, line => Assert.Matches("^  [a-z]+[^.]+[.]$", line));
    }

    [Fact]
    public void The_readme_lists_every_verb()
    {
        string readme = File.ReadAllText(Path.Combine(Tool.RepositoryRoot(), "README.md"));
        Assert.Equal([], Verbs("").Where(verb => !readme.Contains($"| `perforator {verb}", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("perforator generat --binary x", "no verb 'perforator generat'")]
    [InlineData("$(perforator services --sever URL)", "no option --sever of 'perforator services'")]
    [InlineData("perforator services --server URL | grep --color x", null)]
    [InlineData("/var/lib/perforator is a folder", null)]
    public void The_scan_finds_what_does_not_exist(string command, string? expected) =>
        Assert.Equal(expected is null ? [] : [expected], Faults(command));

    private static IEnumerable<string> Faults(string line)
    {
        foreach (Match use in CommandUse().Matches(line))
        {
            string verb = use.Groups["verb"].Value;
            if (!Verbs("").Contains(verb))
            {
                yield return $"no verb 'perforator {verb}'";
                continue;
            }
            string rest = use.Groups["rest"].Value;
            if (Verbs(verb) is { Count: > 0 } inner && FirstWord().Match(rest) is { Success: true } word
                && inner.Contains(word.Value.Trim()))
                verb = $"{verb} {word.Value.Trim()}";
            string help = Help(verb);
            foreach (Match option in OptionUse().Matches(rest))
                if (!Regex.IsMatch(help, $@"(?<![\w-]){Regex.Escape(option.Value)}(?![\w-])"))
                    yield return $"no option {option.Value} of 'perforator {verb}'";
        }
    }

    /// <summary>The fenced blocks' lines and the inline code of a page.</summary>
    private static IEnumerable<string> Code(string markdown)
    {
        bool fenced = false;
        foreach (string line in markdown.Split('\n'))
        {
            if (line.TrimStart().StartsWith("```", StringComparison.Ordinal))
                fenced = !fenced;
            else if (fenced)
                yield return line;
            else
                foreach (Match span in InlineCode().Matches(line))
                    yield return span.Value;
        }
    }

    /// <summary>The verbs that the help of a command (the whole program's when empty) lists.</summary>
    private static HashSet<string> Verbs(string verb) =>
        [.. Help(verb).Split('\n').SkipWhile(line => !line.StartsWith("Commands:", StringComparison.Ordinal)).Skip(1)
            .Select(line => FirstWord().Match(line)).Where(match => match.Success).Select(match => match.Value.Trim())];

    private static string Help(string verb) =>
        Helps.GetOrAdd(verb, static v => Tool.Cli([.. v.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]).Succeeded().Output);

    private static bool IsUsageLine(string line) =>
        line.Contains("[options]", StringComparison.Ordinal) || line.Contains("[command]", StringComparison.Ordinal);

    /// <summary>A command up to where the shell would end it, or its own "--" ends what is ours.</summary>
    [GeneratedRegex(@"(?<![\w./-])perforator (?<verb>[a-z]+)(?<rest>.*?)(?=$| -- |[|;#`)])")]
    private static partial Regex CommandUse();

    [GeneratedRegex(@"^ +[a-z]+")]
    private static partial Regex FirstWord();

    [GeneratedRegex(@"(?<![\w-])--[a-z][a-z0-9-]*")]
    private static partial Regex OptionUse();

    [GeneratedRegex(@"`[^`]+`")]
    private static partial Regex InlineCode();
}
