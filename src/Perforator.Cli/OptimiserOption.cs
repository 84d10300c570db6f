using System.CommandLine;
using Perforator.Generation;

namespace Perforator.Cli;

/// <summary>What a profile is made for.</summary>
internal enum Optimiser
{
    /// <summary>clang, and other compilers on LLVM that take its sample profiles.</summary>
    Clang,

    /// <summary>llvm-bolt: BOLT's pre-aggregated profile.</summary>
    Bolt,

    /// <summary>clang and lld by Propeller: which basic blocks and functions to place in which order.</summary>
    Propeller,

    /// <summary>GCC: its AFDO profile.</summary>
    Gcc,

    /// <summary>Go: a pprof of calls.</summary>
    Go,
}

/// <summary>The option <c>--for</c> of the commands that make profiles.</summary>
internal sealed class OptimiserOption
{
    private static readonly (string Name, Optimiser Value)[] Names =
    [
        ("clang", Optimiser.Clang), ("gcc", Optimiser.Gcc), ("go", Optimiser.Go), ("bolt", Optimiser.Bolt),
        ("propeller", Optimiser.Propeller),
    ];

    public OptimiserOption() => Option.AcceptOnlyFromAmong([.. Names.Select(static name => name.Name)]);

    public Option<string> Option { get; } = new("--for")
    {
        Description = "What is to use the profile: clang (and rustc, ldc2), gcc (-fauto-profile), go (-pgo), llvm-bolt (its pre-aggregated profile: -pa), or Propeller (clang and lld; writes FILE.cc_profile and FILE.ld_profile).",
        DefaultValueFactory = static _ => "clang",
    };

    /// <summary>What was asked for.</summary>
    public Optimiser Of(ParseResult parsed) => Find(parsed.GetValue(Option));

    /// <inheritdoc cref="Of(ParseResult)"/>
    public Optimiser Of(System.CommandLine.Parsing.CommandResult parsed) => Find(parsed.GetValue(Option));

    /// <summary>The compiler in whose sense source is named.</summary>
    public static TargetCompiler TargetOf(Optimiser optimiser) => optimiser switch
    {
        Optimiser.Gcc => TargetCompiler.Gcc,
        Optimiser.Go => TargetCompiler.Go,
        _ => TargetCompiler.Clang,
    };

    private static Optimiser Find(string? given) => Array.Find(Names, name => name.Name == given).Value;
}
