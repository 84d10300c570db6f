using System.Security.Cryptography.X509Certificates;
using Perforator.Server;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Server;

public sealed class TlsCertificateTests : IDisposable
{
    private sealed class SetTime : TimeProvider
    {
        public long Ticks { get; set; }

        public override long GetTimestamp() => Ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;
    }

    private readonly TemporaryFolder folder = new();

    /// <summary>Kubernetes renews a mounted Secret by another link to a folder; the link of the file itself stays as it was.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_renewed_certificate_is_taken_also_where_only_a_link_to_its_folder_has_changed(bool isLinked)
    {
        using TestAuthority authority = new();
        string first = Write("first"), current = isLinked ? folder["data"] : first;
        if (isLinked)
            Directory.CreateSymbolicLink(current, first);
        string certificate = folder["tls.crt"], key = folder["tls.key"];
        File.CreateSymbolicLink(certificate, Path.Combine(current, "tls.crt"));
        File.CreateSymbolicLink(key, Path.Combine(current, "tls.key"));
        SetTime time = new();
        TlsCertificate served = new(certificate, key, time);
        Assert.Equal("CN=first", served.Current.Subject);

        string second = Write("second");
        if (isLinked)
        {
            Directory.Delete(current);
            Directory.CreateSymbolicLink(current, second);
        }
        else
        {
            File.Copy(Path.Combine(second, "tls.crt"), Path.Combine(first, "tls.crt"), overwrite: true);
        }
        Assert.Equal("CN=first", served.Current.Subject);
        time.Ticks += TimeSpan.FromSeconds(6).Ticks;
        // Half of a renewal is not used.
        Assert.Equal(isLinked ? "CN=second" : "CN=first", served.Current.Subject);
        File.Copy(Path.Combine(second, "tls.key"), Path.Combine(first, "tls.key"), overwrite: true);
        time.Ticks += TimeSpan.FromSeconds(6).Ticks;
        Assert.Equal("CN=second", served.Current.Subject);

        string Write(string name)
        {
            using X509Certificate2 issued = authority.Issue(name);
            string version = Directory.CreateDirectory(folder[name]).FullName;
            File.WriteAllText(Path.Combine(version, "tls.crt"), issued.ExportCertificatePem());
            File.WriteAllText(Path.Combine(version, "tls.key"), issued.GetRSAPrivateKey()!.ExportPkcs8PrivateKeyPem());
            return version;
        }
    }

    public void Dispose() => folder.Dispose();
}
