using System.CommandLine;

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
        ("clang", Optimiser.Clang), ("gcc", Optimiser.Gcc), ("go", Optimiser.Go), ("bolt", Optimiser.Bolt), ("propeller", Optimiser.Propeller),
    ];

    /// <param name="some">Those that the verb can serve; all if none are given.</param>
    public OptimiserOption(params Optimiser[] some) =>
        Option.AcceptOnlyFromAmong([.. Names.Where(name => some.Length == 0 || some.Contains(name.Value)).Select(static name => name.Name)]);

    public Option<string> Option { get; } = new("--for")
    {
        Description = "What is to use the profile: clang (and rustc, ldc2), gcc (-fauto-profile), go (-pgo), llvm-bolt (its pre-aggregated profile: -pa), or Propeller (clang and lld; writes FILE.cc_profile and FILE.ld_profile).",
        DefaultValueFactory = static _ => "clang",
    };

    /// <summary>What was asked for.</summary>
    public Optimiser Of(ParseResult parsed) => Find(parsed.GetValue(Option));

    /// <inheritdoc cref="Of(ParseResult)"/>
    public Optimiser Of(System.CommandLine.Parsing.CommandResult parsed) => Find(parsed.GetValue(Option));

    private static Optimiser Find(string? given) => Array.Find(Names, name => name.Name == given).Value;
}
