using System.Net;
using Microsoft.AspNetCore.Http;

namespace Perforator.Server.Http;

/// <summary>
/// Keeps web pages of others out of a server that asks nobody who they are: a page whose name was made to lead to this machine (DNS
/// rebinding) is known by its Host header, one that sends a request across origins by what its browser says of it.
/// </summary>
internal sealed class ForeignPages
{
    private readonly HashSet<string> names;
    private readonly bool checksHost;

    /// <param name="names">Names by which this server is known, besides localhost and this machine's name.</param>
    /// <param name="checksHost">Whether the Host header counts: not where every caller has a credential, which no foreign page has.</param>
    public ForeignPages(IEnumerable<string> names, bool checksHost)
    {
        this.names = new HashSet<string>([.. names, "localhost", Dns.GetHostName()], StringComparer.OrdinalIgnoreCase);
        this.checksHost = checksHost || names.Any();
    }

    /// <summary>The middleware; stands first.</summary>
    public Task Handle(HttpContext context, RequestDelegate next)
    {
        HttpRequest request = context.Request;
        // An address cannot be rebound; a name can.
        if (checksHost && !IPAddress.TryParse(request.Host.Host, out _) && !names.Contains(request.Host.Host))
            throw new ApiException(StatusCodes.Status421MisdirectedRequest,
                $"this server is not known as '{Branches.ProfileLabels.Printable(request.Host.Host, 100)}'; if it is to be, start it with --host of that name");
        bool reads = HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method) || HttpMethods.IsOptions(request.Method);
        if (!reads && request.Headers["Sec-Fetch-Site"].ToString() is "cross-site" or "same-site")
            throw new ApiException(StatusCodes.Status403Forbidden, "a web page of another origin may not write here");
        return next(context);
    }
}
