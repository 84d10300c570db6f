using System.Text.RegularExpressions;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Architecture;

/// <summary>Holds the edges between folders: which namespace of src may name which other.</summary>
public partial class DependencyTests
{
    private const int MaxLines = 600;

    /// <summary>
    /// What each folder may see. The root (addresses, build id, loss counts, errors) is everybody's and sees only Bytes. Readers of
    /// recorded data see Branches because that is what they feed; no other codec sees another.
    /// </summary>
    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["Perforator"] = ["Bytes"],
        ["Bytes"] = [],
        ["Elf"] = ["Bytes"],
        ["Dwarf"] = ["Bytes"],
        ["SampleProfiles"] = ["Bytes"],
        ["Branches"] = ["Bytes", "Elf"],
        ["PerfData"] = ["Bytes", "Branches"],
        ["PerfScript"] = ["Bytes", "Branches"],
        ["Pprof"] = ["Bytes", "Branches"],
        ["Inputs"] = ["Bytes", "Elf", "Branches", "PerfData", "PerfScript", "Pprof"],
        ["Disassembly"] = ["Bytes", "Elf"],
        ["Symbolize"] = ["Bytes", "Elf", "Dwarf"],
        ["Generation"] = ["Bytes", "Elf", "Dwarf", "Symbolize", "Disassembly", "Branches", "SampleProfiles"],
        ["Layout"] = ["Bytes", "Elf", "Branches", "Symbolize"],
        ["Recording"] = ["Bytes", "Elf", "Branches", "PerfData", "Disassembly"],
        ["Agent"] = ["Bytes", "Elf", "Branches", "Recording"],
        ["Api"] = ["Bytes", "Branches"],
        ["Server"] = ["Api", "Bytes", "Elf", "Branches", "Generation", "SampleProfiles", "Symbolize"],
    };

    [Fact]
    public void Folders_see_only_what_the_design_lets_them()
    {
        List<string> wrong = [];
        foreach ((string folder, string file, string text) in SourceFiles())
            foreach (string seen in NamespacesNamed(text))
                if (seen != folder && folder != "Cli" && !Allowed[folder].Contains(seen))
                    wrong.Add($"{file}: {folder} must not see {seen}");
        Assert.True(wrong.Count == 0, string.Join('\n', wrong.Distinct()));
    }

    [Fact]
    public void Every_folder_of_the_design_is_scanned()
    {
        string[] folders = [.. SourceFiles().Select(f => f.Folder).Distinct()];
        Assert.Contains("Branches", folders);
        Assert.Contains("Elf", folders);
        Assert.Contains("Recording", folders);
        Assert.Equal([], folders.Where(f => f != "Cli" && !Allowed.ContainsKey(f)));
    }

    [Fact]
    public void Only_disassembly_and_the_recorders_interpreter_know_the_decoder() =>
        Assert.Equal(
            [], SourceFiles().Where(f => f.Folder is not ("Disassembly" or "Recording") && IcedUse().IsMatch(f.Text)).Select(f => f.File));

    [Fact]
    public void The_interpreter_knows_nothing_of_the_recorder_that_uses_it() =>
        Assert.Equal(
            [], SourceFiles()
                .Where(f => f.File.Contains("/Interpreter/", StringComparison.Ordinal)
                    && f.Text.Contains("Perforator.Recording.Software", StringComparison.Ordinal)).Select(f => f.File));

    [Fact]
    public void Only_the_syscalls_class_declares_system_calls() =>
        Assert.Equal([], SourceFiles()
            .Where(f => f.Folder == "Recording" && PlatformInvoke().IsMatch(f.Text)
                && !Path.GetFileName(f.File).StartsWith("Syscalls.", StringComparison.Ordinal))
            .Select(f => f.File));

    [Fact]
    public void Files_stay_small()
    {
        string root = Tool.RepositoryRoot();
        IEnumerable<string> files = new[] { "src", "tests", "samples" }
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(root, folder), "*.*", SearchOption.AllDirectories))
            .Where(file => Path.GetExtension(file) is ".cs" or ".cpp" or ".h" && !IsBuildOutput(file));
        Assert.Equal([], files.Where(file => File.ReadLines(file).Count() > MaxLines).Select(file => Path.GetRelativePath(root, file)));
    }

    [Theory]
    [InlineData("using Perforator.Elf;", "Elf")]
    [InlineData("using static Perforator.Dwarf.DwarfConstants;", "Dwarf")]
    [InlineData("using X = Perforator.Server.Storage.Blob;", "Server")]
    [InlineData("        Perforator.Elf.ElfFile file = null!;", "Elf")]
    [InlineData("/// <see cref=\"Perforator.Elf.ElfFile\"/> is only spoken of", null)]
    [InlineData("namespace Perforator.Elf;", null)]
    [InlineData("string perforator = \"perforator.Elf\";", null)]
    public void The_scan_sees_what_code_names(string line, string? expected) =>
        Assert.Equal(expected is null ? [] : [expected], NamespacesNamed(line));

    /// <summary>The second part of every Perforator namespace that code (not comments) names.</summary>
    private static IEnumerable<string> NamespacesNamed(string text) => text.Split('\n')
        .Where(line =>
            !line.TrimStart().StartsWith("//", StringComparison.Ordinal) && !line.StartsWith("namespace ", StringComparison.Ordinal))
        .SelectMany(line => NamespaceUse().Matches(line).Select(match => match.Groups[1].Value));

    private static IEnumerable<(string Folder, string File, string Text)> SourceFiles()
    {
        string root = Path.Combine(Tool.RepositoryRoot(), "src");
        foreach (string path in Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            if (IsBuildOutput(path))
                continue;
            string[] parts = Path.GetRelativePath(root, path).Split('/');
            string folder = parts[0] != "Perforator" ? parts[0]["Perforator.".Length..] : parts.Length > 2 ? parts[1] : "Perforator";
            yield return (folder, Path.GetRelativePath(root, path), File.ReadAllText(path));
        }
    }

    private static bool IsBuildOutput(string path) =>
        path.Contains("/obj/", StringComparison.Ordinal) || path.Contains("/bin/", StringComparison.Ordinal);

    [GeneratedRegex(@"\bPerforator\.([A-Z]\w+)")]
    private static partial Regex NamespaceUse();

    [GeneratedRegex(@"\bIced\.Intel\b")]
    private static partial Regex IcedUse();

    [GeneratedRegex(@"\[(DllImport|LibraryImport)\(")]
    private static partial Regex PlatformInvoke();
}
