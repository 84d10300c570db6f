using System.ComponentModel;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Perforator.Bytes;

namespace Perforator.Cli;

/// <summary>
/// A compiler on this machine: which switches it takes is tried with an empty source and remembered for as long as it is the same compiler.
/// </summary>
internal sealed class Compiler
{
    /// <summary>What stands before a compiler in CC and CXX without being one.</summary>
    private static readonly string[] Launchers = ["ccache", "sccache", "distcc", "icecc"];

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly string program;
    private readonly string[] arguments;
    private readonly bool isRust;

    private Compiler(string command, bool isRust)
    {
        string[] words =
            [.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries)
                .SkipWhile(static word => Launchers.Contains(Path.GetFileName(word)))];
        if (words.Length == 0)
            throw new UserErrorException($"'{command}' names no compiler; give one with --compiler, such as clang++-19");
        (program, arguments, this.isRust) = (words[0], words[1..], isRust);
    }

    /// <summary>How it was called.</summary>
    public string Name => program;

    /// <summary>The clang that is meant: what was given, else what the environment names, else the one on PATH.</summary>
    public static Compiler Clang(string? given) =>
        new(given ?? Variable("CXX") ?? Variable("CC") ?? OnPath("clang++") ?? OnPath("clang")
            ?? throw new UserErrorException(
                "neither --compiler, CXX nor CC names a compiler, and there is no clang++ on PATH; give --compiler clang++-19"), isRust: false);

    /// <summary>The GCC that is meant: what was given, else what the environment names, else the one on PATH.</summary>
    public static Compiler Gcc(string? given) =>
        new(given ?? Variable("CXX") ?? Variable("CC") ?? OnPath("g++") ?? OnPath("gcc")
            ?? throw new UserErrorException(
                "neither --compiler, CXX nor CC names a compiler, and there is no g++ on PATH; give --compiler g++-12"), isRust: false);

    /// <summary>The major version that GCC says it is of.</summary>
    /// <exception cref="UserErrorException">It does not say.</exception>
    public int MajorVersion() => int.TryParse(Run([.. arguments, "-dumpversion"], "").Output.Trim().Split('.')[0], out int version)
        ? version
        : throw new UserErrorException($"{program} does not answer -dumpversion with a version; is it GCC? Else give --gcc-version");

    /// <summary>The rustc that is meant.</summary>
    public static Compiler Rustc(string? given) => new(given ?? Variable("RUSTC") ?? "rustc", isRust: true);

    /// <summary>Those of the switches that it takes, in order; what was left out is told.</summary>
    /// <param name="switches">What it is to be given.</param>
    /// <param name="links">Whether on the line that links.</param>
    /// <param name="profile">The profile's path in the switches, which is not what decides.</param>
    /// <exception cref="UserErrorException">It does not take what is needed.</exception>
    public (IReadOnlyList<string> Taken, IReadOnlyList<string> LeftOut) Select(CompilerSwitches switches, bool links, string profile)
    {
        string key =
            string.Join('\n', [Identity(), $"{links}", .. switches.Needed.Concat(switches.Useful)
                .Select(s => s.Replace(profile, "PROFILE", StringComparison.Ordinal))]);
        string file =
            Path.Combine(ProfileCache.Folder, "compilers", Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)))[..32]);
        IReadOnlyList<string>? taken = ReadKnown(file);
        if (taken is null)
        {
            taken = [.. Try(switches, links)];
            Keep(file, taken);
        }
        return ([.. switches.Needed, .. taken], [.. switches.Useful.Where(one => !Forms(one).Any(taken.Contains))]);
    }

    private IEnumerable<string> Try(CompilerSwitches switches, bool links)
    {
        if (Runs([.. switches.Needed, .. switches.Useful], links, out _))
            return switches.Useful;
        if (!Runs(switches.Needed, links, out string error))
            throw new UserErrorException(
                $"{program} does not take {string.Join(' ', switches.Needed)}: {error}"
                + (isRust ? "; rustc takes profiles in nightly builds, or with RUSTC_BOOTSTRAP=1" : "; it has to be clang 14 or later, or with --for gcc GCC 12 or later; name it with --compiler"));
        return switches.Useful.Select(one => Forms(one).FirstOrDefault(form => Runs([.. switches.Needed, form], links, out _)))
            .OfType<string>();
    }

    /// <summary>
    /// The ways to write a switch, the best first: clang takes "-mllvm=x" from version 15 on, and "-mllvm x" always; profi it has had as an
    /// option of LLVM's before.
    /// </summary>
    private static string[] Forms(string one) =>
        one.StartsWith("-mllvm=", StringComparison.Ordinal) ? [one, $"-mllvm {one["-mllvm=".Length..]}"]
        : one == "-fsample-profile-use-profi" ? [one, "-mllvm -sample-profile-use-profi"]
        : [one];

    /// <summary>Whether it compiles, or links, with switches, without a warning that one is of no use.</summary>
    private bool Runs(IEnumerable<string> switches, bool links, out string error)
    {
        string folder = Directory.CreateTempSubdirectory("perforator-flags-").FullName;
        try
        {
            string output = Path.Combine(folder, "out");
            string[] form = isRust
                ? ["--crate-type=lib", "--crate-name=empty", "--emit=obj", "-Copt-level=2", "-o", output, "-"]
                : [.. links ? (string[])[] : ["-c"], "-Werror", "-O2", "-x", "c", "-", "-o", output];
            (int exitCode, string text) = Run(
                [.. arguments, .. switches.SelectMany(static one => one.Split(' ')), .. form],
                isRust ? "#![no_std]\n" : "int main(void) { return 0; }\n");
            error = text.Split('\n').FirstOrDefault(static line => line.Contains("error", StringComparison.OrdinalIgnoreCase))?.Trim()
                ?? text.Split('\n').FirstOrDefault(static line => line.Trim().Length > 0)?.Trim() ?? $"exit code {exitCode}";
            return exitCode == 0;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>
    /// What it says of itself: the file alone does not tell, as rustup's and wrappers' stay while what they start changes.
    /// </summary>
    private string Identity() =>
        $"{OnPath(program) ?? program}\n{string.Join(' ', arguments)}\n{Run([.. arguments, isRust ? "-vV" : "--version"], "").Output}\n{(isRust ? Variable("RUSTC_BOOTSTRAP") : "")}";

    private (int ExitCode, string Output) Run(IEnumerable<string> all, string input)
    {
        ProcessStartInfo start =
            new(program, all) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        // Messages are read.
        start.Environment["LC_ALL"] = "C";
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync(), error = process.StandardError.ReadToEndAsync();
            try
            {
                process.StandardInput.Write(input);
                process.StandardInput.Close();
            }
            catch (IOException)
            {
                // It ended without reading; its exit code says why.
            }
            if (!process.WaitForExit(Patience))
            {
                process.Kill(entireProcessTree: true);
                throw new UserErrorException($"{program} did not end within {Patience.TotalSeconds:0} s; is it a compiler?");
            }
            return (process.ExitCode, output.GetAwaiter().GetResult() + error.GetAwaiter().GetResult());
        }
        catch (Win32Exception e)
        {
            throw new UserErrorException($"cannot run {program}: {e.Message}; name the compiler with --compiler", e);
        }
    }

    private static string[]? ReadKnown(string file)
    {
        try
        {
            return File.Exists(file) ? File.ReadAllLines(file) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static void Keep(string file, IEnumerable<string> known)
    {
        try
        {
            string folder = Path.GetDirectoryName(file)!;
            Directory.CreateDirectory(folder);
            WholeFile.Write(file, Encoding.UTF8.GetBytes(string.Concat(known.Select(static s => s + "\n"))));
            ProfileCache.Trim(folder, ProfileCache.MaxBytes, ProfileCache.MaxFiles, DateTime.UtcNow);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It is tried again next time.
        }
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    private static string? OnPath(string name) => name.Contains('/', StringComparison.Ordinal)
        ? File.Exists(name) ? Path.GetFullPath(name) : null
        : (Variable("PATH") ?? "").Split(':').Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
}
