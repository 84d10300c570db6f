using System.Text.RegularExpressions;
using Perforator.Generation;

namespace Perforator.Server.Results;

/// <summary>
/// The source that a page may show: files below one folder (<c>serve --source-root</c>), and links to where people browse it
/// (<c>--source-url</c>). Paths come from debug info that anybody who uploads may have made up, so nothing outside the folder is ever read.
/// </summary>
internal sealed partial class SourceFiles
{
    /// <summary>Source is smaller; what is larger is generated, and nobody reads it.</summary>
    private const long MaxBytes = 8 << 20;

    private const int MaxLine = 400;

    private readonly string? root;
    private readonly string? url;

    public SourceFiles(ServerSettings settings) =>
        (root, url) = (settings.SourceRoot is { } folder ? Real(folder) : null, settings.SourceUrl);

    /// <summary>What is wrong with a template of <c>--source-url</c>, as a sentence; null for nothing.</summary>
    public static string? FaultOf(string template)
    {
        if (!Uri.TryCreate(Placeholder().Replace(template, "x"), UriKind.Absolute, out Uri? address)
            || address.Scheme is not ("http" or "https"))
            return $"--source-url '{template}' is no http(s) address; give one such as https://git.example/app/blob/main/{{path:/build/app/}}#L{{line}}";
        return template.Contains("{path", StringComparison.Ordinal) && !Unknown().IsMatch(Placeholder().Replace(template, ""))
            ? null
            : $"--source-url '{template}' has to name {{path}} or {{path:PREFIX}}, and knows {{line}}, {{service}} and {{build}} besides";
    }

    /// <summary>The lines of a file that are asked for, by number; without those that are not there.</summary>
    public IReadOnlyDictionary<uint, string> Read(string file, IReadOnlyCollection<uint> wanted)
    {
        Dictionary<uint, string> lines = [];
        if (Find(file) is not { } path)
            return lines;
        try
        {
            uint number = 0;
            foreach (string line in File.ReadLines(path))
                if (wanted.Contains(++number))
                    lines[number] = line.Length > MaxLine ? line[..MaxLine] + "…" : line;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A page without source is still a page.
        }
        return lines;
    }

    /// <summary>
    /// The address at which people see a line; null where no template is given, or the file is not below the template's prefix.
    /// </summary>
    public string? UrlOf(SourcePlace place, string service, string build)
    {
        if (url is null)
            return null;
        bool isOutside = false;
        string address = Placeholder().Replace(url, match =>
        {
            switch (match.Groups["name"].Value)
            {
                case "line": return FormattableString.Invariant($"{place.Line}");
                case "service": return Uri.EscapeDataString(service);
                case "build": return build;
                default:
                    string path = Tidy(place.File), prefix = match.Groups["prefix"].Value;
                    isOutside |= !path.StartsWith(prefix, StringComparison.Ordinal);
                    return isOutside ? "" : string.Join('/', path[prefix.Length..].TrimStart('/').Split('/').Select(Uri.EscapeDataString));
            }
        });
        return isOutside ? null : address;
    }

    /// <summary>
    /// The file below the root that a path from debug info means: the longest end of the path that is one there, since a build's folder is
    /// rarely the server's.
    /// </summary>
    private string? Find(string file)
    {
        if (root is null)
            return null;
        string[] parts = Tidy(file).Split('/', StringSplitOptions.RemoveEmptyEntries);
        if (parts.Contains("..") || file.Contains('\0'))
            return null;
        for (int skip = 0; skip < parts.Length; skip++)
        {
            string path = Path.Combine([root, .. parts[skip..]]);
            // A pipe or device, which might never end, has no length.
            if (new FileInfo(path) is { Exists: true, Length: > 0 and <= MaxBytes } && Real(path) is { } real
                && real.StartsWith(root + "/", StringComparison.Ordinal) && new FileInfo(real).Length > 0)
                return real;
        }
        return null;
    }

    /// <summary>Takes "." and ".." out of a path as far as there is something to go up from.</summary>
    private static string Tidy(string path)
    {
        List<string> parts = [];
        foreach (string part in path.Split('/'))
            if (part == ".." && parts.Count > 0 && parts[^1] is not ("" or ".."))
                parts.RemoveAt(parts.Count - 1);
            else if (part != "." && (part.Length > 0 || parts.Count == 0))
                parts.Add(part);
        return string.Join('/', parts);
    }

    /// <summary>A path with all symbolic links on it followed; null when it leads nowhere.</summary>
    private static string? Real(string path)
    {
        string full = Path.GetFullPath(path), real = "/";
        try
        {
            foreach (string part in full.Split('/', StringSplitOptions.RemoveEmptyEntries))
            {
                real = Path.Combine(real, part);
                if (new FileInfo(real).ResolveLinkTarget(returnFinalTarget: true) is { } target)
                    real = target.FullName;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
        return real.TrimEnd('/');
    }

    [GeneratedRegex(@"\{(?<name>path|line|service|build)(:(?<prefix>[^{}]*))?\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("[{}]")]
    private static partial Regex Unknown();
}
