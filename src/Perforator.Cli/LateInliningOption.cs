using System.CommandLine;
using Perforator.SampleProfiles;

namespace Perforator.Cli;

/// <summary>The option <c>--late-inlining</c> of the commands that give a profile to compile with.</summary>
internal sealed class LateInliningOption
{
    public Option<bool> Option { get; } = new("--late-inlining")
    {
        Description = "Leave callees without branches, and those that call their caller, to clang's ordinary inliner: what the profile says was inlined, clang inlines before simplifying it.",
    };

    /// <summary>Changes the profile when the option is given, and says what it did.</summary>
    public void Apply(ParseResult parsed, SampleProfile profile)
    {
        if (parsed.GetValue(Option))
            Console.Error.WriteLine($"perforator: {LateInlining.Apply(profile):N0} inlined copies are left to clang's ordinary inliner");
    }
}
