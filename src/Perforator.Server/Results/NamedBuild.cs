using Perforator.Branches;
using Perforator.Server.Domain;
using Perforator.Server.Http;

namespace Perforator.Server.Results;

/// <summary>The build of a service that a request names.</summary>
internal static class NamedBuild
{
    /// <summary>The shortest beginning of a build id that is taken for one.</summary>
    private const int MinDigits = 4;

    /// <summary>Finds a build by its id, or by a beginning of it that no other of the builds has.</summary>
    /// <exception cref="ApiException">No build has it, or several have.</exception>
    public static ServiceBuild Find(IReadOnlyList<ServiceBuild> builds, string id, string service)
    {
        if (id.Length < MinDigits || !id.All(char.IsAsciiHexDigit))
            throw ApiException.BadRequest(
                $"'{ProfileLabels.Printable(id, 100)}' is not a build id: hexadecimal digits are expected, at least the first {MinDigits}");
        return builds.Where(build => build.BuildId.ToString().StartsWith(id, StringComparison.OrdinalIgnoreCase)).ToArray() switch
        {
            [var only] => only,
            [] => throw ApiException.NotFound(
                $"{service} has no profiles of build id {id} in that time; it has: {string.Join(", ", builds.Select(static one => one.BuildId))}"),
            var several => several.FirstOrDefault(build => string.Equals(build.BuildId.ToString(), id, StringComparison.OrdinalIgnoreCase))
                ?? throw ApiException.BadRequest(
                    $"several builds of {service} begin with {id}: {string.Join(", ", several.Select(static one => one.BuildId))}; give more digits"),
        };
    }
}
