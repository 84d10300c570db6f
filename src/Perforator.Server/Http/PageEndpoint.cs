using System.IO.Compression;
using System.Reflection;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Perforator.Server.Http;

/// <summary>
/// The web page: files embedded in this assembly, open to all as they hold nothing of anybody; what they show comes from the API, with the
/// reader's own credential. All its links are relative, so that it works below any path of a proxy.
/// </summary>
internal static class PageEndpoint
{
    private const string Prefix = "page/";

    /// <summary>Nothing from elsewhere, and nothing inline: names from uploads stay text whatever they hold.</summary>
    private const string Policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private sealed record PageFile(byte[] Bytes, byte[] Compressed, string Type, string Tag);

    public static void Map(IEndpointRouteBuilder routes)
    {
        Assembly assembly = typeof(PageEndpoint).Assembly;
        foreach (string name in assembly.GetManifestResourceNames().Where(static name => name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            PageFile file = Load(assembly, name);
            string path = name[Prefix.Length..];
            routes.MapGet(path == "index.html" ? "/" : "/" + path, context => SendAsync(context, file)).ExcludeFromDescription();
        }
    }

    /// <summary>Takes a proxy's prefix from paths; the bare prefix leads to the page, whose links need the slash at its end.</summary>
    public static Func<HttpContext, RequestDelegate, Task> Below(string prefix) => (context, next) =>
    {
        if (context.Request.Path == prefix)
        {
            context.Response.Redirect(prefix + "/", permanent: true);
            return Task.CompletedTask;
        }
        if (context.Request.Path.StartsWithSegments(prefix, StringComparison.Ordinal, out PathString rest))
            (context.Request.PathBase, context.Request.Path) = (prefix, rest);
        return next(context);
    };

    private static PageFile Load(Assembly assembly, string name)
    {
        using Stream stream = assembly.GetManifestResourceStream(name)!;
        byte[] bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        using MemoryStream compressed = new();
        using (GZipStream gzip = new(compressed, CompressionLevel.SmallestSize, leaveOpen: true))
            gzip.Write(bytes);
        string type = Path.GetExtension(name) switch
        {
            ".html" => "text/html; charset=utf-8",
            ".js" => "text/javascript; charset=utf-8",
            ".css" => "text/css; charset=utf-8",
            ".svg" => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        return new PageFile(bytes, compressed.ToArray(), type, $"\"{Convert.ToHexStringLower(SHA256.HashData(bytes))[..16]}\"");
    }

    private static async Task SendAsync(HttpContext context, PageFile file)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.ContentSecurityPolicy = Policy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers.CacheControl = "no-cache";
        headers.ETag = file.Tag;
        headers.Vary = "Accept-Encoding";
        if (context.Request.Headers.IfNoneMatch == file.Tag)
        {
            context.Response.StatusCode = StatusCodes.Status304NotModified;
            return;
        }
        context.Response.ContentType = file.Type;
        bool compressed = context.Request.Headers.AcceptEncoding.ToString().Contains("gzip", StringComparison.OrdinalIgnoreCase);
        if (compressed)
            headers.ContentEncoding = "gzip";
        byte[] body = compressed ? file.Compressed : file.Bytes;
        context.Response.ContentLength = body.Length;
        await context.Response.Body.WriteAsync(body, context.RequestAborted);
    }
}
