using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Http;
using Perforator.Server.Storage;

namespace Perforator.Server.Ingest;

/// <summary>Checks uploads and stores them. What does not pass in full leaves nothing behind.</summary>
internal sealed class ProfileIngest : IDisposable
{
    private readonly IProfileStore store;
    private readonly BinaryIngest binaries;
    private readonly ServerSettings settings;

    /// <summary>A decoded upload may take many times its size; no more of them at once than there are processors.</summary>
    private readonly SemaphoreSlim decoding = new(Environment.ProcessorCount);

    public ProfileIngest(IProfileStore store, BinaryIngest binaries, ServerSettings settings)
    {
        this.store = store;
        this.binaries = binaries;
        this.settings = settings;
    }

    /// <summary>Stores an encoded <see cref="BranchProfileSet"/>.</summary>
    /// <param name="encoded">The bytes sent.</param>
    /// <param name="authorise">Throws when profiles of the service, which only the set itself names, may not be sent.</param>
    /// <exception cref="Bytes.MalformedInputException">The bytes are truncated, damaged or no branch profile set.</exception>
    /// <exception cref="ApiException">The set names no service or holds no branches.</exception>
    public async Task<UploadReceipt> AcceptAsync(byte[] encoded, Action<string> authorise, CancellationToken stop)
    {
        await decoding.WaitAsync(stop);
        try
        {
            BranchProfileSet set = BranchProfileCodec.Decode(encoded, settings.MaxProfileMessageBytes);
            if (set.Service is not { } service)
                throw ApiException.BadRequest("the profile names no service; give its recording a --service");
            if (!ProfileLabels.IsName(service))
                throw ApiException.BadRequest($"'{service}' cannot name a service: letters, digits, '.', '_' and '-' are allowed, at most {ProfileLabels.MaxNameLength}");
            authorise(service);
            if (set.Profiles.Values.All(static build => build.IsEmpty))
                throw ApiException.BadRequest($"the profile of {service} holds no branches");

            string hash = BranchProfileCodec.ContentHash(encoded);
            // Once storing has begun it is carried through, even if the client goes away.
            bool added = await store.AddAsync(hash, encoded, set, CancellationToken.None);
            List<string> wanted = [];
            foreach (BranchProfile build in set.Profiles.Values)
                if (!build.IsEmpty && !await binaries.HasAsync(build.BuildId, stop))
                    wanted.Add(build.BuildId.ToString());
            return new UploadReceipt(hash, !added, wanted);
        }
        finally
        {
            decoding.Release();
        }
    }

    public void Dispose() => decoding.Dispose();
}
