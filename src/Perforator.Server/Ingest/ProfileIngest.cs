using System.Diagnostics;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Demand;
using Perforator.Server.Http;
using Perforator.Server.Storage;
using Perforator.Server.Telemetry;

namespace Perforator.Server.Ingest;

/// <summary>
/// Checks uploads and stores them: the object first, then the index, then the receipt. What does not pass in full leaves nothing behind.
/// </summary>
internal sealed class ProfileIngest : IDisposable
{
    private readonly ServerStorage storage;
    private readonly ServerSettings settings;
    private readonly TimeProvider time;
    private readonly Planner planner;
    private readonly UploadPacks packs;

    /// <summary>A decoded upload may take many times its size; no more of them at once than there are processors.</summary>
    private readonly SemaphoreSlim decoding = new(Environment.ProcessorCount);

    public ProfileIngest(ServerStorage storage, ServerSettings settings, TimeProvider time, Planner planner)
    {
        this.storage = storage;
        this.settings = settings;
        this.time = time;
        this.planner = planner;
        packs = new UploadPacks(storage);
    }

    /// <summary>Stores an encoded <see cref="BranchProfileSet"/>.</summary>
    /// <param name="authorise">Called with the service's name before anything is stored.</param>
    /// <exception cref="Bytes.MalformedInputException">The bytes are truncated, damaged or no branch profile set.</exception>
    /// <exception cref="ApiException">The set names no service or holds no branches.</exception>
    public async Task<UploadReceipt> AcceptAsync(byte[] encoded, Action<string> authorise, CancellationToken stop)
    {
        using Activity? activity = ServerMetrics.Activities.StartActivity("ingest");
        (NewUpload upload, BranchProfileSet set) = await CheckAsync(encoded, authorise, stop);
        // Once storing has begun it is carried through, even if the client goes away.
        StoredUpload stored = await packs.StoreAsync(upload, encoded);
        activity?.SetTag("perforator.service", upload.Service).SetTag("perforator.duplicate", !stored.IsNew)
            .SetTag("perforator.bytes", encoded.Length);
        return new UploadReceipt(upload.Hash, !stored.IsNew, [.. stored.Lacking.Order().Select(static id => id.ToString())])
        {
            Plan = planner.Uploaded(set, upload.Hash, stored.IsNew),
        };
    }

    private async Task<(NewUpload, BranchProfileSet)> CheckAsync(byte[] encoded, Action<string> authorise, CancellationToken stop)
    {
        await decoding.WaitAsync(stop);
        try
        {
            BranchProfileSet set = BranchProfileCodec.Decode(encoded, settings.MaxProfileMessageBytes, settings.MaxProfileRows);
            if (set.Service is not { } service)
                throw ApiException.BadRequest("the profile names no service; give its recording a --service");
            if (!ProfileLabels.IsName(service))
                throw ApiException.BadRequest(
                    $"'{service}' cannot name a service: letters, digits, '.', '_' and '-' are allowed, at most {ProfileLabels.MaxNameLength}");
            authorise(service);
            NewUpload upload = NewUpload.Of(BranchProfileCodec.ContentHash(encoded), encoded.Length, set, time.GetUtcNow());
            if (upload.End < upload.Received - settings.KeepSums && await NewestAsync(service, stop) is { } newest
                && upload.End < newest - settings.KeepSums)
                throw ApiException.BadRequest(
                    $"the profile ended {upload.End:yyyy-MM-dd}, and of {service} only the {settings.KeepSums.TotalDays:0} days before its newest profile are kept");
            return upload.Builds.Count != 0
                ? (upload, set)
                : throw ApiException.BadRequest($"the profile of {service} holds no branches");
        }
        finally
        {
            decoding.Release();
        }
    }

    private async Task<DateTimeOffset?> NewestAsync(string service, CancellationToken stop) =>
        (await storage.Profiles.ListServicesAsync(stop)).FirstOrDefault(one => one.Service == service)?.LastSeen;

    public void Dispose() => decoding.Dispose();
}
