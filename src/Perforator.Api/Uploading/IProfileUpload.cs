namespace Perforator.Api.Uploading;

/// <summary>How an outbox's profiles, and what the server asks for in return, get to the server.</summary>
public interface IProfileUpload
{
    /// <summary>Sends an encoded profile; when this returns, the server has it on its disk. Sending it again does no harm.</summary>
    /// <exception cref="UserErrorException">The server cannot be reached or refuses it.</exception>
    Task<UploadReceipt> SendProfileAsync(byte[] encoded, CancellationToken stop);

    /// <summary>Sends those of a profile's binaries that the server wants, as far as they can be had.</summary>
    /// <param name="builds">The binaries of the profile.</param>
    /// <param name="receipt">What the server answered to the profile.</param>
    /// <exception cref="UserErrorException">The server cannot be reached or refuses one.</exception>
    Task SendBinariesAsync(IReadOnlyList<BuildId> builds, UploadReceipt receipt, CancellationToken stop);
}
