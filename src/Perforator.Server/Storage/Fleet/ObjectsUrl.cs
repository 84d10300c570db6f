namespace Perforator.Server.Storage.Fleet;

/// <summary>Where objects are: <c>s3://bucket/prefix?endpoint=https://…&amp;region=…&amp;checksums=always</c>.</summary>
/// <param name="Bucket">The bucket.</param>
/// <param name="Prefix">What all keys begin with; empty, or ending in '/'.</param>
/// <param name="Endpoint">The server, when it is not Amazon's.</param>
/// <param name="Region">The region.</param>
/// <param name="AlwaysChecksums"> Whether the SDK's own checksums (x-amz-checksum-…) accompany all requests. By default only to Amazon
/// itself: many other servers refuse them.
/// </param>
public sealed record ObjectsUrl(string Bucket, string Prefix, Uri? Endpoint, string? Region, bool AlwaysChecksums)
{
    private const string Example = "write for example s3://profiles/perforator?endpoint=https://s3.internal:9000";

    /// <exception cref="UserErrorException">It is another kind of text.</exception>
    public static ObjectsUrl Parse(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out Uri? parsed) || parsed.Scheme != "s3" || parsed.Host.Length == 0)
            throw new UserErrorException($"'{url}' (--objects) is not an s3:// address; {Example}");
        string prefix = parsed.AbsolutePath.Trim('/');
        Uri? endpoint = null;
        string? region = null;
        bool? checksums = null;
        foreach (string pair in parsed.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] parts = pair.Split('=', 2);
            string value = parts.Length == 2 ? Uri.UnescapeDataString(parts[1]) : "";
            switch (parts[0])
            {
                case "endpoint" when Uri.TryCreate(value, UriKind.Absolute, out endpoint) && endpoint.Scheme is "http" or "https":
                    break;
                case "region" when value.Length > 0:
                    region = value;
                    break;
                case "checksums" when value is "always" or "required":
                    checksums = value == "always";
                    break;
                default:
                    throw new UserErrorException(
                        $"'{pair}' in --objects is not known: it takes endpoint=URL, region=NAME and checksums=always|required; {Example}");
            }
        }
        return new ObjectsUrl(parsed.Host, prefix.Length == 0 ? "" : prefix + "/", endpoint, region, checksums ?? endpoint is null);
    }
}
