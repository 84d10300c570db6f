using System.CommandLine;
using System.Globalization;
using System.Runtime;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Generation;
using Perforator.Inputs;
using Perforator.Layout;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Cli;

/// <summary><c>perforator generate</c>: from recorded branches and a binary to a sample profile, without a server.</summary>
internal static class GenerateCommand
{
    /// <summary>What all inputs together hold of one binary.</summary>
    private sealed record RecordedBranches(BranchProfile Branches, ulong Profiles, LossCounts Losses, List<string> Notes);

    public static Command Create()
    {
        Option<string> binary = new("--binary") { Description = "The binary that ran.", HelpName = "FILE", Required = true };
        Option<string?> debugFile =
            new("--debug-file") { Description = "A separate file with the binary's debug info, or a folder that has it by build id or name.", HelpName = "PATH" };
        Option<string[]> perfScripts = new("--perf-script")
        {
            Description = "Text from 'perf script -F ip,brstack --show-mmap-events'. May be given several times.",
            HelpName = "FILE",
        };
        Option<string[]> branches =
            new("--branches") { Description = "A file from 'perforator record'. May be given several times.", HelpName = "FILE" };
        Option<string[]> perfData = new("--perf-data")
        {
            Description = "A file from 'perf record'; best with branch stacks (-j any,u). May be given several times.",
            HelpName = "FILE",
        };
        Option<string[]> pprofs =
            new("--pprof") { Description = "A pprof profile of sample type lbr/stacks. May be given several times.", HelpName = "FILE" };
        OptimiserOption optimiser = new();
        Option<string?> recordedAs = RecordingInputOptions.RecordedAs();
        Option<string?> perfEvent = RecordingInputOptions.Event();
        GccVersionOption gccVersion = new();
        Option<string> format = new("--format") { Description = "Format of the profile.", DefaultValueFactory = _ => "extbinary" };
        format.AcceptOnlyFromAmong("extbinary", "text", "binary");
        Option<string?> output =
            new("--output", "-o") { Description = "Where to write the profile; standard output when not given, or '-'.", HelpName = "FILE" };
        Option<bool> md5 = new("--use-md5") { Description = "Store hashes instead of names (extbinary only)." };
        Option<bool> symbols = SymbolListOption.Create();
        LateInliningOption late = new();
        Option<bool> json = new("--json") { Description = "Report as JSON." };
        Command command = new("generate",
            """
            Generates a profile for clang -fprofile-sample-use, or what --for names, from recorded branches and the binary that ran. The report goes to standard error.

            Inputs may be files, pipes or - (standard input).

            Examples:
              perforator generate --binary ./server --perf-script perf.txt -o server.afdo
              perf record -j any,u -o - -- ./server | perforator generate --binary ./server --perf-data - -o server.afdo
              perforator generate --binary ./server --branches server.pb --for gcc --gcc-version 12 -o server.gcda
            """)
        { binary, debugFile, perfScripts, branches, perfData, pprofs, recordedAs, perfEvent, optimiser.Option, gccVersion.Option, format, output, md5, symbols, late.Option, json };
        command.Check(result =>
        {
            if (new[] { perfScripts, branches, perfData, pprofs }.All(option => result.GetValue(option) is not { Length: > 0 }))
                result.AddError("Nothing to generate from: give --perf-script, --branches, --perf-data or --pprof.");
            if (LayoutOutput.Consumer(optimiser.Of(result)) is { } layout)
            {
                if (layout == LayoutConsumer.Propeller && result.GetValue(output) is null or "-")
                    result.AddError("Propeller takes two files: give -o FILE for FILE.cc_profile and FILE.ld_profile.");
                foreach (Option option in new Option[] { format, md5, symbols, late.Option })
                    if (result.GetResult(option) is { Implicit: false })
                        result.AddError($"{option.Name} is for sample profiles, not for layouts.");
                return;
            }
            if (OptimiserOption.TargetOf(optimiser.Of(result)) != TargetCompiler.Clang)
                foreach (Option option in new Option[] { format, md5, symbols, late.Option })
                    if (result.GetResult(option) is { Implicit: false })
                        result.AddError($"{option.Name} is for LLVM's profiles, not for --for {result.GetValue(optimiser.Option)}.");
            gccVersion.Check(result, optimiser);
            if (result.GetValue(output) is null or "-" && result.GetValue(format) != "text" && !Console.IsOutputRedirected)
                result.AddError("A binary profile is not for the terminal: give -o FILE or --format text.");
            if (result.GetValue(format) is not (null or "extbinary") && (result.GetValue(md5) || result.GetValue(symbols)))
                result.AddError("--use-md5 and --symbol-list need --format extbinary.");
        });
        command.SetAction(parsed =>
        {
            CollectNowNotLater();
            if (LayoutOutput.Consumer(optimiser.Of(parsed)) is { } consumer)
            {
                LayOut(parsed, consumer);
                return;
            }
            if (parsed.GetValue(output) is { } file and not "-")
                WholeFile.Check(file);
            TargetCompiler target = OptimiserOption.TargetOf(optimiser.Of(parsed));
            (string binaryFile, string? debugInfo) = SplitBinary.Of(parsed.GetValue(binary)!, parsed.GetValue(debugFile));
            using ProfiledBinary opened = ProfiledBinary.Load(binaryFile, Debuginfod.Behind(new LocalDebugFiles(debugInfo)), target);
            RecordedBranches inputs = Read(parsed, opened.ToModule(parsed.GetValue(recordedAs)));
            CompilerShare compilers = CompilerShare.Of(inputs.Branches, opened);
            inputs.Notes.AddRange(compilers.Check(target, opened.Path));
            CollectNowNotLater();
            FlowChecks checks = new();
            SampleProfile profile = ProfileGenerator.Generate(inputs.Branches, opened, checks);
            if (profile.Functions.Count == 0)
                throw new UserErrorException(
                    $"none of the {inputs.Branches.Branches.Total} branches recorded of {opened.Path} fall into functions with debug info, so that the profile would be empty: {WhyEmpty(checks)}");
            if (parsed.GetValue(symbols))
                profile.Symbols.UnionWith(opened.FunctionNames());
            late.Apply(parsed, profile);
            SampleProfileFormat encoding = target switch
            {
                TargetCompiler.Gcc => SampleProfileFormat.Gcc,
                TargetCompiler.Go => SampleProfileFormat.Go,
                _ => FormatOf(parsed.GetValue(format)!),
            };
            SampleProfileWriteOptions options = new() { Md5Names = parsed.GetValue(md5), GccVersion = gccVersion.Of(parsed) };
            Write(profile, encoding, options, parsed.GetValue(output), inputs.Losses);
            inputs.Notes.AddRange(ConsumerNotes.Of(new ProfileForm(encoding, GccVersion: options.GccVersion), profile));
            GenerationReport report =
                GenerationReport.Create(
                    inputs.Branches, opened, profile, checks, inputs.Profiles, inputs.Losses, notes: inputs.Notes, compilers: compilers);
            Console.Error.Write(parsed.GetValue(json) ? report.ToJson() + "\n" : report.ToText());
        });
        return command;

        RecordedBranches Read(ParseResult parsed, Module module)
        {
            RecordedBinaries binaries = new([module]);
            BranchProfileSet inputs = new();
            List<string> notes = [];
            ulong profiles = 0;
            foreach ((Option<string[]> option, InputKind kind) in new[]
            {
                (perfScripts, InputKind.PerfScript), (branches, InputKind.Branches), (perfData, InputKind.PerfData),
                (pprofs, InputKind.Pprof),
            })
            {
                foreach (string path in parsed.GetValue(option) ?? [])
                {
                    RecordedInput input = Recordings.Read(path, binaries, kind, new InputOptions { Event = parsed.GetValue(perfEvent) });
                    inputs.TakeOver(input.ProfileOf(module));
                    inputs.Losses.Merge(input.Set.Losses);
                    notes.AddRange(input.Notes);
                    profiles++;
                }
            }
            return new(inputs.Profiles[module.BuildId], profiles, inputs.Losses, notes);
        }

        void LayOut(ParseResult parsed, LayoutConsumer consumer)
        {
            string? name = parsed.GetValue(output);
            LayoutOutput.Check(consumer, name);
            using LayoutBinary opened = LayoutBinary.Load(parsed.GetValue(binary)!, new LocalDebugFiles(parsed.GetValue(debugFile)));
            LayoutFiles.Require(consumer, opened);
            RecordedBranches inputs = Read(parsed, ElfModule.Of(opened.Elf, parsed.GetValue(recordedAs)));
            LayoutReport report = new(inputs.Branches, opened.Path, inputs.Profiles, inputs.Losses);
            report.Notes.AddRange(inputs.Notes);
            LayoutOutput.Write(consumer, inputs.Branches, opened, name, report);
            Console.Error.Write(parsed.GetValue(json) ? report.ToJson() + "\n" : report.ToText());
        }
    }

    /// <summary>What most samples have the matter with them.</summary>
    private static string WhyEmpty(FlowChecks checks) => checks.Findings().FirstOrDefault() is { What: { } what } worst
        ? string.Create(CultureInfo.InvariantCulture, $"{100.0 * worst.Samples / Math.Max(1, worst.Of):0} % {what}")
        : "see that the binary is the one that ran, and was built with -g";

    /// <summary>
    /// Collects garbage now, while little is alive, and not again before 48 MB are allocated: small runs get by with that, and collecting
    /// in the midst of one, when nearly all is alive, would take a tenth of their time. More would show in peak memory.
    /// </summary>
    private static void CollectNowNotLater()
    {
        if (GCSettings.LatencyMode == GCLatencyMode.NoGCRegion)
            GC.EndNoGCRegion();
        GC.Collect();
        try
        {
            GC.TryStartNoGCRegion(48 << 20);
        }
        catch (ArgumentOutOfRangeException)
        {
            // The memory allowed to this process is less.
        }
    }

    private static SampleProfileFormat FormatOf(string name) => name switch
    {
        "text" => SampleProfileFormat.Text,
        "binary" => SampleProfileFormat.Binary,
        _ => SampleProfileFormat.ExtBinary,
    };

    private static void Write(
        SampleProfile profile, SampleProfileFormat format, SampleProfileWriteOptions options, string? path, LossCounts losses)
    {
        if (path is not (null or "-"))
        {
            SampleProfileWriter.Save(path, profile, format, options, losses);
            return;
        }
        using Stream output = Console.OpenStandardOutput();
        SampleProfileWriter.Write(output, profile, format, options, losses);
    }
}
