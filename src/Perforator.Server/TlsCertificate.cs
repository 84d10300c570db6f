using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Perforator.Server;

/// <summary>The server's TLS certificate, read again when its file changes, so that renewing it needs no restart.</summary>
internal sealed class TlsCertificate
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromSeconds(5);

    private readonly string certificateFile;
    private readonly string keyFile;
    private readonly TimeProvider clock;
    private readonly Lock access = new();
    private X509Certificate2 current;
    private (FileVersion, FileVersion) written;
    private long looked;

    /// <exception cref="UserErrorException">A file cannot be read, or holds no certificate or not its key.</exception>
    public TlsCertificate(string certificateFile, string keyFile, TimeProvider clock)
    {
        this.certificateFile = certificateFile;
        this.keyFile = keyFile;
        this.clock = clock;
        looked = clock.GetTimestamp();
        written = Written();
        try
        {
            current = Load();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new UserErrorException($"cannot use {certificateFile} with {keyFile} (--tls-certificate, --tls-key): {e.Message}", e);
        }
    }

    /// <summary>The certificate for a connection that begins now. A renewed one that cannot be used (yet) leaves the one before.</summary>
    public X509Certificate2 Current
    {
        get
        {
            lock (access)
            {
                if (clock.GetElapsedTime(looked) < LookEvery)
                    return current;
                looked = clock.GetTimestamp();
                try
                {
                    if (Written() is var now && now != written)
                        (current, written) = (Load(), now);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
                {
                }
                return current;
            }
        }
    }

    private (FileVersion Certificate, FileVersion Key) Written() => (FileVersion.Of(certificateFile), FileVersion.Of(keyFile));

    private X509Certificate2 Load() => X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
}
