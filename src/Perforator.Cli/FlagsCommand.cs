using System.CommandLine;
using System.Text.RegularExpressions;
using Perforator.Api;
using Perforator.Generation;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary><c>perforator flags SERVICE</c>: all that a compiler is to be given, on one line of stdout.</summary>
internal static partial class FlagsCommand
{
    public static Command Create()
    {
        ProfileDelivery delivery = new(ArgumentArity.ZeroOrOne);
        Option<string?> profile =
            new("--profile") { Description = "Take this profile, rather than ask a server for a service's.", HelpName = "FILE" };
        Option<string?> compiler = new("--compiler")
        {
            Description = "The compiler, which is tried for each switch. Default: $CXX, $CC, clang++ or clang on PATH (--for gcc: g++ or gcc); with --rustc $RUSTC or rustc.",
            HelpName = "COMMAND",
        };
        Option<bool> rustc = new("--rustc") { Description = "Switches of rustc, for RUSTFLAGS, instead of clang's." };
        Option<bool> lto =
            new("--lto") { Description = "For a build with (thin) link-time optimisation: with its switch, and with --ldflags all that lld is to be told." };
        Option<bool> ldflags =
            new("--ldflags") { Description = "The switches of the line that links, instead of those that compile: none but with --lto." };
        Command command = new("flags",
            """
            Gives all that the compiler, clang unless --for says otherwise, is to be given to use a service's profile: the profile and the switches that make most of it, each only if the compiler takes it. The report goes to standard error.

            Example: clang++ -O2 -g -fdebug-info-for-profiling $(perforator flags search --compiler clang++ --or-last) …
            """);
        delivery.AddTo(command, withForm: false);
        OptimiserOption optimiser = delivery.Choice.Optimiser;
        foreach (Option option in (Option[])[profile, compiler, rustc, lto, ldflags])
            command.Add(option);
        command.Check(result =>
        {
            if (LayoutOutput.Consumer(optimiser.Of(result)) is not null)
            {
                if (result.GetValue(rustc) || result.GetResult(compiler) is not null)
                    result.AddError("BOLT's and Propeller's switches are clang's and the linker's own: leave --rustc and --compiler out.");
                return;
            }
            if ((result.GetResult(profile) is null) == (result.GetValue(delivery.Choice.Service) is null))
                result.AddError("A service, or a profile's file with --profile, has to be given.");
            if (result.GetValue(rustc) && (result.GetValue(lto) || result.GetValue(ldflags)))
                result.AddError("rustc links by itself: --lto and --ldflags are for clang.");
            if (OptimiserOption.TargetOf(optimiser.Of(result)) != TargetCompiler.Clang)
                foreach (Option option in (Option[])[rustc, lto, ldflags])
                    if (result.GetResult(option) is { Implicit: false })
                        result.AddError(
                            $"{option.Name} is not for --for {result.GetValue(optimiser.Option)}, whose switches are for the line that compiles.");
            if (optimiser.Of(result) == Optimiser.Go && result.GetResult(compiler) is not null)
                result.AddError("go build takes the profile as it is: leave --compiler out.");
        });
        command.SetAction(async (parsed, stop) =>
        {
            if (LayoutOutput.Consumer(optimiser.Of(parsed)) is { } consumer)
            {
                Console.Out.WriteLine(
                    string.Join(
                        ' ', LayoutSwitches.Of(consumer, parsed.GetValue(profile), parsed.GetValue(ldflags), parsed.GetValue(lto))));
                return ExitCodes.Ok;
            }
            Wanted wanted =
                new(optimiser.Of(parsed), parsed.GetValue(compiler), parsed.GetValue(rustc), parsed.GetValue(lto), parsed.GetValue(ldflags));
            try
            {
                if (parsed.GetValue(profile) is { } file)
                    return Print(ExitCodes.Ok, Flags(wanted, Path.GetFullPath(file)), report: true);
                ProfileChoice choice = delivery.Choice.Of(parsed);
                choice = wanted.For != Optimiser.Gcc ? choice with { LateInlining = choice.Target == TargetCompiler.Clang }
                    : delivery.Choice.GccVersion.IsGiven(parsed.CommandResult) ? choice
                    : choice with { Request = choice.Request with { GccVersion = Compiler.Gcc(wanted.Compiler).MajorVersion() } };
                using ServerClient client = new(choice.Server);
                ProfileDelivery.Result result =
                    await delivery.RunAsync(
                        parsed, client, choice, static _ => Task.FromResult<IReadOnlyList<ProfileDelivery.Finding>>([]), stop);
                return Print(result.ExitCode, result.Path is null ? null : Flags(wanted, result.Path), report: !delivery.IsJson(parsed));
            }
            catch (UserErrorException e) when (delivery.IsOrLast(parsed))
            {
                Console.Error.WriteLine($"perforator: warning: {e.Message}; no flags are given");
                return ExitCodes.Ok;
            }
        });
        return command;
    }

    private sealed record Wanted(Optimiser For, string? Compiler, bool Rustc, bool Lto, bool Links);

    private static int Print(
        int exitCode, (IReadOnlyList<string> Taken, IReadOnlyList<string> LeftOut, string Compiler)? flags, bool report)
    {
        if (flags is not { } all)
            return exitCode;
        if (report && all.LeftOut.Count > 0)
            Console.Error.WriteLine($"perforator: {all.Compiler} does not take, and is not given: {string.Join(' ', all.LeftOut)}");
        Console.Out.WriteLine(string.Join(' ', all.Taken));
        return exitCode;
    }

    private static (IReadOnlyList<string> Taken, IReadOnlyList<string> LeftOut, string Compiler) Flags(Wanted wanted, string profile)
    {
        // A shell splits what $(…) gives at spaces and takes no quotes out of it.
        if (!PlainPath().IsMatch(profile))
            throw new UserErrorException(
                $"the path {profile} has characters that a shell or a build system would not leave alone; choose another folder with -o, or XDG_CACHE_HOME");
        if (wanted.For == Optimiser.Go)
            return ([$"-pgo={profile}"], [], "go");
        if (wanted.For == Optimiser.Gcc)
        {
            Compiler gcc = Compiler.Gcc(wanted.Compiler);
            (IReadOnlyList<string> given, IReadOnlyList<string> not) = gcc.Select(CompilerSwitches.ForGcc(profile), links: false, profile);
            return (given, not, gcc.Name);
        }
        bool hasProbes = Load(profile).IsProbeBased;
        if (wanted.Rustc && hasProbes)
            throw new UserErrorException(
                $"{profile} counts pseudo probes, which rustc does not have; it takes profiles of binaries without them");
        Compiler compiler = wanted.Rustc ? Compiler.Rustc(wanted.Compiler) : Compiler.Clang(wanted.Compiler);
        if (wanted.Links && !wanted.Lto)
            return ([], [], compiler.Name);
        CompilerSwitches switches = wanted.Rustc ? CompilerSwitches.ForRustc(profile)
            : wanted.Links ? CompilerSwitches.ForClangLink(profile, hasProbes)
            : CompilerSwitches.ForClang(profile, hasProbes, wanted.Lto);
        (IReadOnlyList<string> taken, IReadOnlyList<string> leftOut) = compiler.Select(switches, wanted.Links, profile);
        return (taken, leftOut, compiler.Name);
    }

    private static SampleProfile Load(string profile)
    {
        try
        {
            return SampleProfileReader.Parse(File.ReadAllBytes(profile));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot read {profile}: {e.Message}", e);
        }
        catch (Bytes.MalformedInputException e)
        {
            throw new UserErrorException($"{profile} is not a sample profile: {e.Message}", e);
        }
    }

    [GeneratedRegex(@"^[A-Za-z0-9_./+,:@%=~-]+\z")]
    private static partial Regex PlainPath();
}
