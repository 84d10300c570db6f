using System.Net;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;

namespace Perforator.Server;

/// <summary>Makes Kestrel listen where the settings say.</summary>
internal static class Listening
{
    /// <summary>Binds one address.</summary>
    /// <param name="certificate">The certificate for https.</param>
    /// <param name="asksForCertificate">Whether clients are asked for theirs; whether it can be trusted is for authentication to
    /// say.</param>
    public static void Bind(KestrelServerOptions kestrel, ListenAddress listen, TlsCertificate? certificate, bool asksForCertificate)
    {
        // Both loopback addresses at once can only be bound where the port is known.
        if (listen.Address is null && listen.Port != 0)
            kestrel.ListenLocalhost(listen.Port, Configure);
        else
            kestrel.Listen(listen.Address ?? IPAddress.Loopback, listen.Port, Configure);

        void Configure(ListenOptions options)
        {
            if (certificate is not null)
                options.UseHttps(https =>
                {
                    https.ServerCertificateSelector = (_, _) => certificate.Current;
                    https.ClientCertificateMode = asksForCertificate
                        ? ClientCertificateMode.AllowCertificate : ClientCertificateMode.NoCertificate;
                    https.AllowAnyClientCertificate();
                });
        }
    }
}
