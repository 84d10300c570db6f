using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Deploy;

[Collection(DebianPackageTests.Name)]
public sealed class PackageTests(DebianPackage package)
{
    private static string[] Verbs(params string[] parents)
    {
        string help = Tool.Cli([.. parents, "--help"]).Succeeded().Output;
        int list = help.IndexOf("Commands:\n", StringComparison.Ordinal);
        return list < 0
            ? [] : [.. help[list..].Split('\n').Skip(1).TakeWhile(static line => line.Length > 0)
                .Select(static line => line.Trim().Split(' ', ',', '<')[0])];
    }

    [SkippableFact]
    public void Lintian_has_nothing_to_say()
    {
        Tool.Require("lintian");
        ToolResult result = Tool.Run("lintian", ["--allow-root", "--fail-on", "error,warning", package.File]);
        Assert.Equal((0, ""), (result.ExitCode, result.Output));
    }

    [SkippableFact]
    public void The_same_program_makes_the_same_package()
    {
        using TemporaryFolder again = new();
        string second = DebianPackage.Build(again.Path);
        Assert.Equal(Path.GetFileName(package.File), Path.GetFileName(second));
        Assert.Equal(File.ReadAllBytes(package.File), File.ReadAllBytes(second));
    }

    [SkippableFact]
    public void The_packaged_program_runs_from_where_it_is_and_needs_no_installed_runtime()
    {
        ToolResult result = Tool.Run(Path.Combine(package.Content, "usr", "bin", "perforator"), ["--version"],
            environment: new Dictionary<string, string> { ["DOTNET_ROOT"] = "/nonexistent" });
        Assert.Equal(Tool.Cli("--version").Output, result.Succeeded().Output);
    }

    [SkippableFact]
    public void Every_verb_has_a_manual_page_with_its_options()
    {
        string[] verbs = Verbs();
        Assert.Contains("agent", verbs);
        List<string> names = ["perforator", .. verbs.Select(static verb => $"perforator-{verb}")];
        foreach (string verb in verbs)
            names.AddRange(Verbs(verb).Select(child => $"perforator-{verb}-{child}"));
        string folder = Path.Combine(package.Content, "usr", "share", "man", "man1");
        Assert.Equal(
            names.Order(StringComparer.Ordinal),
            Directory.GetFiles(folder).Select(static file => Path.GetFileName(file)[..^".1.gz".Length]).Order(StringComparer.Ordinal));

        Tool.Require("man");
        ToolResult page =
            Tool.Run("man", ["--local-file", "--warnings", Path.Combine(folder, "perforator-serve.1.gz")], environment: new Dictionary<string, string> { ["MANWIDTH"] = "200" });
        Assert.Equal("", page.Succeeded().Error);
        foreach (string part in (string[])["perforator-serve - Keeps profiles", "SYNOPSIS\n       perforator serve [options]", "--keep-uploads <DAYS>"])
            Assert.Contains(part, page.Output, StringComparison.Ordinal);
        Assert.Matches(@"EXAMPLES\n +perforator serve --data /var/lib/perforator\n", page.Output);
    }

    [SkippableTheory]
    [InlineData("perforator pg", "pgo")]
    [InlineData("perforator profile me", "merge")]
    [InlineData("perforator serve --tls-k", "--tls-key")]
    public void Bash_completes_verbs_and_options(string typed, string completed)
    {
        const string Script = """
            source "$1"; PATH="$2:$PATH"
            COMP_LINE=$3; COMP_POINT=${#COMP_LINE}; COMP_WORDS=($3); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _perforator; echo "${COMPREPLY[*]}"
            """;
        ToolResult result = Tool.Run("bash", ["-c", Script, "bash",
            Path.Combine(package.Content, "usr/share/bash-completion/completions/perforator"), Path.Combine(package.Content, "usr", "bin"),
            typed]);
        Assert.Equal((completed + "\n", ""), (result.Output, result.Error));
    }

    /// <summary>What an interactive zsh makes of what is typed and a tab, in a terminal of its own.</summary>
    [SkippableTheory]
    [InlineData("perforator pg", "perforator pgo")]
    [InlineData("perforator profile me", "perforator profile merge")]
    [InlineData("perforator serve --tls-k", "perforator serve --tls-key")]
    public void Zsh_completes_verbs_and_options(string typed, string completed)
    {
        Tool.Require("zsh");
        const string Script = """
            zmodload zsh/zpty
            zpty shell zsh -f -i
            zpty -w shell "PS1= fpath=($1 \$fpath) path=($2 \$path); autoload -Uz compinit && compinit -D -u
            show() { print -r -- \"<\${BUFFER% }>\" }; zle -N show; bindkey '^X' show; print -r -- ready:\${_comps[perforator]}"
            zpty -r -m shell out '*ready:_perforator*'
            zpty -w -n shell "$3"$'\t\x18'
            zpty -r -m shell out '*<perf*>*'
            print -r -- "perf${${out#*<perf}%%>*}"
            """;
        ToolResult result = Tool.Run(
            "zsh", ["-f", "-c", Script, "zsh", Path.Combine(
                package.Content, "usr/share/zsh/vendor-completions"), Path.Combine(package.Content, "usr", "bin"), typed],
            timeoutSeconds: 60);
        Assert.Equal((completed + "\n", ""), (result.Output, result.Error));
    }

    [SkippableFact]
    public void Settings_are_kept_on_an_upgrade_and_nothing_is_started_unasked()
    {
        using TemporaryFolder folder = new();
        Tool.Run("dpkg-deb", ["--control", package.File, folder.Path]).Succeeded();
        Assert.Equal("/etc/perforator/agent.env\n/etc/perforator/server.env\n", File.ReadAllText(folder["conffiles"]));
        Assert.DoesNotMatch("systemctl (start|enable|restart)", File.ReadAllText(folder["postinst"]));
    }
}
