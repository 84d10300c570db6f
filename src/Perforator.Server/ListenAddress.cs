using System.Net;
using System.Net.Sockets;

namespace Perforator.Server;

/// <summary>What a server binds: an address of this machine and a port.</summary>
/// <param name="Scheme">http or https.</param>
/// <param name="Address">The address; null stands for both loopback addresses (localhost).</param>
/// <param name="Port">The port; 0 takes a free one.</param>
public sealed record ListenAddress(string Scheme, IPAddress? Address, int Port)
{
    /// <summary>Whether only this machine reaches it.</summary>
    public bool IsLoopback => Address is null || IPAddress.IsLoopback(Address);

    /// <summary>Whether connections are encrypted.</summary>
    public bool IsTls => Scheme == "https";

    /// <summary>
    /// Reads a URL of --listen. A host name is not an address to bind: which one would be meant is for the resolver to say.
    /// </summary>
    /// <exception cref="UserErrorException">Its host is neither an address nor localhost, or it has a path.</exception>
    public static ListenAddress Of(Uri url)
    {
        if (url.AbsolutePath != "/" || url.Query.Length > 0 || url.UserInfo.Length > 0)
            throw new UserErrorException($"'{url}' (--listen) has a path or a user: a server listens on scheme, address and port alone");
        if (url.Host == "localhost")
            return new ListenAddress(url.Scheme, null, url.Port);
        return IPAddress.TryParse(url.Host.Trim('[', ']'), out IPAddress? address)
            && address.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6
            ? new ListenAddress(url.Scheme, address, url.Port)
            : throw new UserErrorException(
                $"'{url.Host}' (--listen) is not an address of this machine: give one such as 127.0.0.1, or 0.0.0.0 for all; --host says by which names the server is known");
    }
}
