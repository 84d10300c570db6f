using Perforator.Layout;

namespace Perforator.Cli;

/// <summary>
/// What clang and the linker are to be given for BOLT and Propeller: for the build that is recorded, and for the one that is laid out.
/// </summary>
internal static class LayoutSwitches
{
    /// <summary>The switches of one build step.</summary>
    /// <param name="layout">What the files of the layout are called (<c>pgo --for propeller -o</c>); null for the build that is recorded
    /// first.</param>
    /// <param name="links">For the line that links rather than those that compile.</param>
    /// <param name="lto">For a build with link-time optimisation, where the linker places the blocks.</param>
    public static IReadOnlyList<string> Of(LayoutConsumer consumer, string? layout, bool links, bool lto)
    {
        // BOLT lays out the finished binary: the layout is llvm-bolt's to be given.
        if (consumer == LayoutConsumer.Bolt)
            return links ? ["-Wl,--emit-relocs"] : [];
        List<string> switches = links ? ["-fuse-ld=lld"] : ["-fbasic-block-address-map"];
        string blocks = $"{layout}.cc_profile";
        if (links && lto)
            switches.Add("-Wl,--lto-basic-block-address-map");
        if (layout is null)
            return switches;
        if (!links)
            switches.Add($"-fbasic-block-sections=list={blocks}");
        else if (lto)
            switches.Add($"-Wl,--lto-basic-block-sections={blocks}");
        if (links)
            switches.AddRange([$"-Wl,--symbol-ordering-file={layout}.ld_profile", "-Wl,--no-warn-symbol-ordering"]);
        return switches;
    }
}
