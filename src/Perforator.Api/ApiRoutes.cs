using System.Text;

namespace Perforator.Api;

/// <summary>
/// Where the API's parts are, relative to the server's address: templates as the server maps them, and paths as a client asks for them.
/// </summary>
public static class ApiRoutes
{
    public const string Profiles = "api/v1/profiles";
    public const string Binaries = "api/v1/binaries/{buildId}";
    public const string Plan = "api/v1/plan";

    /// <summary>With <see cref="Binaries"/>, <c>?kind=</c> of a package of split DWARF.</summary>
    public const string SplitKind = "split";

    /// <summary>
    /// Bytes of a part of a larger binary; the last one has what is left. So much of an upload that is cut is sent again at most.
    /// </summary>
    public const int BinaryPartBytes = 16 << 20;

    public const string Services = "api/v1/services";
    public const string Service = "api/v1/services/{service}";
    public const string Builds = "api/v1/services/{service}/builds";
    public const string Branches = "api/v1/services/{service}/branches";
    public const string Pgo = "api/v1/services/{service}/pgo";
    public const string PgoOfHash = "api/v1/services/{service}/pgo/{hash}";
    public const string History = "api/v1/services/{service}/history";
    public const string Names = "api/v1/services/{service}/names";
    public const string Name = "api/v1/services/{service}/names/{name}";
    public const string Diff = "api/v1/services/{service}/diff";
    public const string Fit = "api/v1/services/{service}/fit";
    public const string Jobs = "api/v1/jobs/{id}";
    public const string Results = "api/v1/results/{hash}";
    public const string Overview = "api/v1/overview";
    public const string Agents = "api/v1/agents";
    public const string Timeline = "api/v1/services/{service}/timeline";
    public const string Functions = "api/v1/services/{service}/pgo/{hash}/functions";
    public const string Function = "api/v1/services/{service}/pgo/{hash}/functions/{id}";
    public const string Tree = "api/v1/services/{service}/pgo/{hash}/tree";
    public const string Health = "health";

    /// <summary>Where a server listens, and where clients look for it, unless told otherwise.</summary>
    public static readonly Uri DefaultAddress = new("http://127.0.0.1:7733");

    /// <summary>A template with its parameters filled in, in order, and what of the query is not null.</summary>
    /// <param name="template">One of this class.</param>
    /// <param name="values">A value for each parameter in braces.</param>
    /// <param name="query">Names and values behind the question mark; those that are null are left out.</param>
    public static string To(string template, string[] values, params (string Name, string? Value)[] query)
    {
        StringBuilder path = new();
        string[] parts = template.Split('{', '}');
        for (int i = 0; i < parts.Length; i++)
            path.Append(i % 2 == 0 ? parts[i] : Uri.EscapeDataString(values[i / 2]));
        char separator = '?';
        foreach ((string name, string? value) in query)
            if (value is not null)
            {
                path.Append(separator).Append(name).Append('=').Append(Uri.EscapeDataString(value));
                separator = '&';
            }
        return path.ToString();
    }
}

/// <summary>The API's media types.</summary>
public static class ApiMediaTypes
{
    /// <summary>A branch profile set as BranchProfileCodec writes it.</summary>
    public const string Branches = "application/vnd.perforator.branches";

    /// <summary>An ELF file, a sample profile or other bytes.</summary>
    public const string Bytes = "application/octet-stream";
}

/// <summary>The API's own headers.</summary>
public static class ApiHeaders
{
    /// <summary>With summed branches: how many uploads were added up.</summary>
    public const string TotalProfiles = "Perforator-Total-Profiles";

    /// <summary>With a part of a binary, and with the question for one: the SHA-256 of the whole, as RFC 9530 writes it.</summary>
    public const string ReprDigest = "Repr-Digest";

    /// <summary>In answers to these: bytes of the binary that are there from its beginning, which is where to go on.</summary>
    public const string UploadOffset = "Upload-Offset";
}
