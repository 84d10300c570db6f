using System.Security.Cryptography;
using Perforator.Branches;
using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Generation;

/// <summary>How a sample profile is written, and so for which compiler.</summary>
/// <param name="Format">The encoding.</param>
/// <param name="HasSymbolList">Whether the names of all of the binary's functions are in it, so that clang takes those without samples for
/// cold; only <see cref="SampleProfileFormat.ExtBinary"/> can hold them.</param>
/// <param name="GccVersion">Major version of the GCC that is to read it; of <see cref="SampleProfileFormat.Gcc"/> alone.</param>
public readonly record struct ProfileForm(
    SampleProfileFormat Format, bool HasSymbolList = false, int GccVersion = ProfileForm.DefaultGccVersion)
{
    /// <summary>The GCC that profiles are for unless told otherwise.</summary>
    public const int DefaultGccVersion = 15;

    /// <summary>The compiler that reads the format.</summary>
    public TargetCompiler Target => Format switch
    {
        SampleProfileFormat.Gcc => TargetCompiler.Gcc,
        SampleProfileFormat.Go => TargetCompiler.Go,
        _ => TargetCompiler.Clang,
    };

    /// <summary>Encodes a profile.</summary>
    /// <param name="losses">Counts the samples that the format cannot hold.</param>
    /// <exception cref="UserErrorException">The format cannot hold the profile.</exception>
    public byte[] ToBytes(SampleProfile profile, LossCounts losses) =>
        SampleProfileWriter.ToBytes(profile, Format, new SampleProfileWriteOptions { GccVersion = GccVersion }, losses);
}

/// <summary>An encoded sample profile with its report.</summary>
/// <param name="Bytes">The profile as clang reads it.</param>
/// <param name="Report">How it came about and how good it is.</param>
public sealed record GeneratedProfile(byte[] Bytes, GenerationReport Report)
{
    /// <summary>SHA-256 of the bytes, in lower-case hexadecimal.</summary>
    public string Hash => Convert.ToHexStringLower(SHA256.HashData(Bytes));

    /// <summary>Generates a profile from summed branches and the binary they are of.</summary>
    /// <param name="branches">The sum of a build's branch profiles.</param>
    /// <param name="totalProfiles">How many were added up.</param>
    /// <param name="losses">What their recording lost.</param>
    /// <param name="binaryFile">The binary, with debug info.</param>
    /// <param name="debugFiles">Where to look for the debug info that it does not have itself.</param>
    /// <param name="service">The service, for the report.</param>
    /// <param name="form">The form wanted.</param>
    /// <exception cref="UserErrorException">The binary cannot be used, or has another build id.</exception>
    public static GeneratedProfile Generate(
        BranchProfile branches, long totalProfiles, LossCounts losses, string binaryFile, IDebugFiles debugFiles, string service,
        ProfileForm form)
    {
        using ProfiledBinary binary = ProfiledBinary.Load(binaryFile, debugFiles, form.Target);
        if (binary.BuildId != branches.BuildId)
            throw new UserErrorException(
                $"{binaryFile} has build id {binary.BuildId}, the profile is of {branches.BuildId}; give the binary that ran, or --build-id {binary.BuildId}");
        FlowChecks checks = new();
        SampleProfile profile = ProfileGenerator.Generate(branches, binary, checks);
        if (form.HasSymbolList)
            profile.Symbols.UnionWith(binary.FunctionNames());
        byte[] bytes = form.ToBytes(profile, losses);
        CompilerShare compilers = CompilerShare.Of(branches, binary);
        string[] notes = [.. compilers.Check(form.Target, binary.Path), .. ConsumerNotes.Of(form, profile)];
        return new GeneratedProfile(
            bytes, GenerationReport.Create(branches, binary, profile, checks, (ulong)totalProfiles, losses, service, notes, compilers));
    }
}
