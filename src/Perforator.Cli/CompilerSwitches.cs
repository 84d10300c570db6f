namespace Perforator.Cli;

/// <summary>
/// What a compiler is to be given with a profile: the profile itself, without which there is no use, and what gets more out of it.
/// </summary>
/// <param name="Needed">Without any of these the profile cannot be used.</param>
/// <param name="Useful">Each for itself is left out where the compiler does not know it (docs/guide.md, section 5, says what each is
/// for).</param>
internal sealed record CompilerSwitches(IReadOnlyList<string> Needed, IReadOnlyList<string> Useful)
{
    /// <summary>Options of LLVM itself that make its inliner take what the profile says, as it does with instrumented profiles.</summary>
    private const string CostBenefit = "-inline-enable-cost-benefit-analysis=true";

    /// <summary>Finds counts a place in functions that changed since, by their calls.</summary>
    private const string Salvage = "-salvage-stale-profile";

    private static readonly string[] WithProbes =
        [CostBenefit, "-sample-profile-prioritized-inline=false", "-sample-profile-inline-size=false", Salvage];
    private static readonly string[] WithLines = [CostBenefit, "-enable-ext-tsp-block-placement", Salvage];

    /// <summary>For clang's compile line.</summary>
    /// <param name="profile">The profile's path.</param>
    /// <param name="hasProbes">Whether it counts pseudo probes rather than lines.</param>
    /// <param name="lto">Whether code is optimised at link time too.</param>
    public static CompilerSwitches ForClang(string profile, bool hasProbes, bool lto) => new(
        [.. lto ? ["-flto=thin"] : (string[])[], .. hasProbes
            ? ["-fpseudo-probe-for-profiling"] : (string[])[], $"-fprofile-sample-use={profile}"],
        // "-mllvm=x" is one word, which no build system takes for a repetition of another, as CMake does with "-mllvm x". Build systems
        // that give the line that links the compile line's switches would have it warn of those.
        [
            .. hasProbes ? [] : (string[])["-fsample-profile-use-profi"],
            "--start-no-unused-arguments", .. (hasProbes ? WithProbes : WithLines).Select(static option => $"-mllvm={option}"),
            "--end-no-unused-arguments",
        ]);

    /// <summary>
    /// For clang's link line with link-time optimisation; lld's plugin for LLVM code is the linker that takes the profile.
    /// </summary>
    public static CompilerSwitches ForClangLink(string profile, bool hasProbes) => new(
        ["-flto=thin", "-fuse-ld=lld", $"-fprofile-sample-use={profile}"],
        [.. hasProbes
            ? [] : (string[])["-Wl,-mllvm,-sample-profile-use-profi"],
            .. (hasProbes ? WithProbes : WithLines).Select(static option => $"-Wl,-mllvm,{option}")]);

    /// <summary>
    /// For GCC. Debug info stays as the build has it: GCC reads lines of its own. With a profile GCC also copies tails behind joins,
    /// unrolls and peels loops: of counts as coarse as lines that makes code larger and slower. Merging what is equal at the ends
    /// of blocks, and values across them, undoes the layout that the counts gave. What was not sampled need not be cold
    /// (docs/performance.md).
    /// </summary>
    public static CompilerSwitches ForGcc(string profile) => new(
        [$"-fauto-profile={profile}"],
        ["-fprofile-partial-training", "-fno-tracer", "-fno-unroll-loops", "-fno-peel-loops", "-fno-gcse", "-fno-crossjumping"]);

    /// <summary>For rustc, which knows profiles of lines only.</summary>
    public static CompilerSwitches ForRustc(string profile) => new(
        [$"-Zprofile-sample-use={profile}"],
        ["-Zdebug-info-for-profiling", "-Cllvm-args=-sample-profile-use-profi", .. WithLines.Select(
            static option => $"-Cllvm-args={option}")]);
}
