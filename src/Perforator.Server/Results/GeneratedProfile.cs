using System.Security.Cryptography;
using Perforator.Branches;
using Perforator.Generation;
using Perforator.SampleProfiles;

namespace Perforator.Server.Results;

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
    /// <param name="service">The service, for the report.</param>
    /// <param name="format">The encoding wanted.</param>
    /// <exception cref="UserErrorException">The binary cannot be used, or has another build id.</exception>
    public static GeneratedProfile Generate(
        BranchProfile branches, long totalProfiles, LossCounts losses, string binaryFile, string service, SampleProfileFormat format)
    {
        using ProfiledBinary binary = ProfiledBinary.Load(binaryFile);
        if (binary.BuildId != branches.BuildId)
            throw new UserErrorException(
                $"{binaryFile} has build id {binary.BuildId}, the profile is of {branches.BuildId}; give the binary that ran, or --build-id {binary.BuildId}");
        FlowChecks checks = new();
        SampleProfile profile = ProfileGenerator.Generate(branches, binary, checks);
        byte[] bytes = SampleProfileWriter.ToBytes(profile, format);
        return new GeneratedProfile(bytes, GenerationReport.Create(branches, binary, profile, checks, (ulong)totalProfiles, losses, service));
    }
}
