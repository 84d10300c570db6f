using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Perforator.Recording.Prerequisites;

namespace Perforator.Cli;

/// <summary>The compilers on PATH, tried on a program of one line.</summary>
internal static partial class CompilerPrerequisites
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private const string Setup = "install LLVM, on Debian and Ubuntu: sudo apt-get install clang lld llvm";

    public static IEnumerable<Prerequisite> Try()
    {
        string folder = Directory.CreateTempSubdirectory("perforator-doctor-").FullName;
        try
        {
            string source = Path.Combine(folder, "main.c"), profile = Path.Combine(folder, "main.prof"), program = Path.Combine(folder, "main");
            File.WriteAllText(source, "int main(void) { return 0; }\n");
            File.WriteAllText(profile, "main:1:0\n 0: 1\n");
            string? clang = Find("clang");
            yield return Check("clang with sample profiles", clang, "compiles with -fprofile-sample-use",
                [source, "-c", "-O2", "-gline-tables-only", "-fdebug-info-for-profiling", $"-fprofile-sample-use={profile}", "-o", program]);
            yield return Check("lld", Find("ld.lld"), "links", clang, [source, "-fuse-ld=lld", "-o", program]);
            yield return Check("llvm-profdata", Find("llvm-profdata"), "reads sample profiles", ["show", "--sample", profile]);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Prerequisite Check(string name, string? program, string success, string[] arguments) =>
        Check(name, program, success, program, arguments);

    /// <param name="program">What is looked for.</param>
    /// <param name="driver">What is run to try it.</param>
    private static Prerequisite Check(string name, string? program, string success, string? driver, string[] arguments)
    {
        if (program is null || driver is null)
            return new(name, false, "not on PATH", Setup);
        if (program != driver)
            arguments = [.. arguments, $"--ld-path={program}"];
        (int exitCode, string output) = Run(driver, arguments);
        return exitCode == 0
            ? new(name, true, $"{program}{VersionOf(program)}: {success}")
            : new(name, false, $"{program} fails: {output.Split('\n').FirstOrDefault(l => l.Length != 0) ?? $"exit code {exitCode}"}", Setup);
    }

    private static string VersionOf(string program) =>
        Version().Match(Run(program, ["--version"]).Output) is { Success: true } match ? $" {match.Value}" : "";

    private static (int ExitCode, string Output) Run(string program, string[] arguments)
    {
        try
        {
            using Process process =
                Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            Task<string> error = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(Patience))
            {
                process.Kill(entireProcessTree: true);
                return (-1, "does not end");
            }
            return (process.ExitCode, error.GetAwaiter().GetResult() + output.GetAwaiter().GetResult());
        }
        catch (Win32Exception e)
        {
            return (-1, e.Message);
        }
    }

    /// <summary>A program on PATH: by its plain name, else the highest of the versions Debian installs side by side (clang-19).</summary>
    private static string? Find(string name)
    {
        string[] folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries);
        foreach (string folder in folders)
            if (File.Exists(Path.Combine(folder, name)))
                return Path.Combine(folder, name);
        return folders.Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, $"{name}-*"))
            .Select(path => (Path: path, Version: Path.GetFileName(path)[(name.Length + 1)..]))
            .Where(p => p.Version.All(char.IsAsciiDigit))
            .OrderByDescending(p => int.Parse(p.Version, CultureInfo.InvariantCulture))
            .Select(p => p.Path).FirstOrDefault();
    }

    [GeneratedRegex(@"\d+\.\d+(\.\d+)?")]
    private static partial Regex Version();
}
