using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Perforator.Tests.Infrastructure;

/// <summary>What a <see cref="SwitchedProxy"/> does with connections.</summary>
internal enum ProxyMode
{
    /// <summary>Passes everything on.</summary>
    Pass,

    /// <summary>Closes them at once.</summary>
    Refuse,

    /// <summary>Answers each request with 503.</summary>
    Busy,

    /// <summary>Takes all that is sent, and says nothing.</summary>
    Hang,
}

/// <summary>Stands before a real server, which by it can go away, be busy or hang. Changing the mode closes what is open.</summary>
internal sealed class SwitchedProxy : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly Uri server;
    private readonly Lock access = new();
    private readonly List<TcpClient> open = [];
    private ProxyMode mode;
    private long sent;

    public SwitchedProxy(Uri server)
    {
        this.server = server;
        listener.Start();
        _ = AcceptAsync();
    }

    public string Address => $"http://{listener.LocalEndpoint}";

    /// <summary>Bytes that a connection may send before it is cut.</summary>
    public long CutAfter { get; init; } = long.MaxValue;

    /// <summary>Bytes that clients have sent.</summary>
    public long Sent => Interlocked.Read(ref sent);

    public ProxyMode Mode
    {
        get => mode;
        set
        {
            lock (access)
            {
                mode = value;
                foreach (TcpClient client in open)
                    client.Dispose();
                open.Clear();
            }
        }
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ServeAsync(await listener.AcceptTcpClientAsync());
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Disposed.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using TcpClient upstream = new();
        ProxyMode current;
        lock (access)
        {
            current = mode;
            open.Add(client);
        }
        try
        {
            switch (current)
            {
                case ProxyMode.Pass:
                    await upstream.ConnectAsync(server.Host, server.Port);
                    await Task.WhenAny(
                        PassAsync(client.GetStream(), upstream.GetStream()), upstream.GetStream().CopyToAsync(client.GetStream()));
                    break;
                case ProxyMode.Hang:
                    await client.GetStream().CopyToAsync(Stream.Null);
                    break;
                case ProxyMode.Busy:
                    _ = await client.GetStream().ReadAsync(new byte[1 << 16]);
                    await client.GetStream()
                        .WriteAsync(Encoding.ASCII.GetBytes("HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
                    break;
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // One side is gone.
        }
        lock (access)
            open.Remove(client);
        client.Dispose();
    }

    private async Task PassAsync(NetworkStream from, NetworkStream to)
    {
        byte[] buffer = new byte[1 << 16];
        long passed = 0;
        for (int n; passed < CutAfter && (n = await from.ReadAsync(buffer)) > 0; passed += n)
        {
            Interlocked.Add(ref sent, n);
            await to.WriteAsync(buffer.AsMemory(0, n));
        }
    }

    public void Dispose() => listener.Dispose();
}
