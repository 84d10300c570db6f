using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Architecture;

/// <summary>Links between pages lead somewhere.</summary>
public partial class LinkTests
{
    [Fact]
    public void Every_link_reached_from_the_readme_leads_to_a_file()
    {
        string root = Tool.RepositoryRoot();
        HashSet<string> reached = [];
        List<string> dead = [];
        Queue<string> pages = new([Path.Combine(root, "README.md")]);
        while (pages.TryDequeue(out string? page))
        {
            if (!reached.Add(page))
                continue;
            foreach (Match link in Link().Matches(File.ReadAllText(page)))
            {
                string target = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(page)!, link.Groups["path"].Value));
                if (!Path.Exists(target))
                    dead.Add($"{Path.GetRelativePath(root, page)}: {link.Groups["path"].Value}");
                else if (target.EndsWith(".md", StringComparison.Ordinal))
                    pages.Enqueue(target);
            }
        }
        Assert.Equal([], dead);
        Assert.Contains(Path.Combine(root, "docs", "guide.md"), reached);
    }

    /// <summary>A Markdown link to a path, without what follows a #.</summary>
    [GeneratedRegex(@"\]\((?!https?:|#)(?<path>[^)#\s]+)[^)\s]*\)")]
    private static partial Regex Link();
}
