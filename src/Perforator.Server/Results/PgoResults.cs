using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Perforator.Api;
using Perforator.Generation;
using Perforator.Server.Http;
using Perforator.Server.Ingest;
using Perforator.Server.Storage;
using Perforator.Symbolize;

namespace Perforator.Server.Results;

/// <summary>What is kept of a generated profile beside its bytes.</summary>
internal sealed record StoredResult(string Profile, double Ratio, JsonElement Report, string ReportText);

/// <summary>JSON of <see cref="StoredResult"/>.</summary>
[JsonSerializable(typeof(StoredResult))]
internal sealed partial class ResultJson : JsonSerializerContext;

/// <summary>Generates sample profiles where the binaries are, each once: results are kept under a hash of all that went in.</summary>
internal sealed class PgoResults : IDisposable
{
    private readonly BuildSelection selection;
    private readonly BinaryIngest binaries;
    private readonly IProfileStore store;
    private readonly IBlobStore blobs;

    /// <summary>Generation takes a core and the memory of a linker; requests queue for it.</summary>
    private readonly SemaphoreSlim generating = new(1);

    public PgoResults(BuildSelection selection, BinaryIngest binaries, IProfileStore store, IBlobStore blobs)
    {
        this.selection = selection;
        this.binaries = binaries;
        this.store = store;
        this.blobs = blobs;
    }

    /// <summary>The profile of a service's build.</summary>
    /// <exception cref="ApiException">No such service, build or binary, or the binary cannot be used.</exception>
    public async Task<PgoAnswer> GetAsync(string service, string? buildId, TimeSpanFilter span, ProfileForm form, CancellationToken stop)
    {
        SelectedBuild build = await selection.SelectAsync(service, buildId, span, stop);
        string key = await KeyAsync(build, form, stop);
        StoredResult? result = await FindAsync(key, stop);
        if (result is null)
        {
            await generating.WaitAsync(stop);
            try
            {
                result = await FindAsync(key, stop) ?? await GenerateAsync(build, key, form, stop);
            }
            finally
            {
                generating.Release();
            }
        }
        return new PgoAnswer(
            service, service, result.Profile, result.Ratio, result.Report, result.ReportText, "",
            typeof(PgoResults).Assembly.GetName().Version?.ToString(3) ?? "", DateTimeOffset.UtcNow)
        {
            BuildId = build.Build.BuildId.ToString(),
            OtherBuilds = [.. build.Others.Select(static b => new OtherBuild(b.BuildId.ToString(), b.Path, b.Branches, b.LastSeen))],
        };
    }

    /// <summary>A local path of a generated profile's bytes, or null.</summary>
    public Task<string?> FindBytesAsync(string hash, CancellationToken stop) => blobs.FindAsync(BytesKey(hash), stop);

    /// <summary>Everything the result depends on: branches, binary, form and the code of the generator itself.</summary>
    private async Task<string> KeyAsync(SelectedBuild build, ProfileForm form, CancellationToken stop)
    {
        string fingerprint = await store.FingerprintAsync(build.Service, build.Build.BuildId, build.Span, stop);
        Guid generator = typeof(ProfileGenerator).Module.ModuleVersionId;
        byte[] inputs = Encoding.UTF8.GetBytes($"{generator}\n{build.Service}\n{build.Build.BuildId}\n{form.Format}\n{form.HasSymbolList}\n{fingerprint}");
        return $"results/{Convert.ToHexStringLower(SHA256.HashData(inputs))}.json";
    }

    private static string BytesKey(string hash) => $"results/{hash}.profile";

    private async Task<StoredResult?> FindAsync(string key, CancellationToken stop)
    {
        if (await blobs.FindAsync(key, stop) is not { } path)
            return null;
        await using FileStream file = File.OpenRead(path);
        return await JsonSerializer.DeserializeAsync(file, ResultJson.Default.StoredResult, stop);
    }

    private async Task<StoredResult> GenerateAsync(SelectedBuild build, string key, ProfileForm form, CancellationToken stop)
    {
        BuildId buildId = build.Build.BuildId;
        string binary = await binaries.FindAsync(buildId, stop) ?? throw new ApiException(
            StatusCodes.Status409Conflict,
            $"the server has profiles of {build.Build.Path} (build id {buildId}) but not the binary; give it with --binary FILE, or let an agent upload it");
        MergedProfile merged = await selection.MergeAsync(build, stop);
        GeneratedProfile generated;
        try
        {
            generated = await Task.Run(() => GeneratedProfile.Generate(merged.Profile, merged.Count, merged.Losses, binary, NoDebugFiles.Instance, build.Service, form), stop);
        }
        catch (UserErrorException e)
        {
            throw new ApiException(StatusCodes.Status409Conflict, e.Message.Replace(binary, build.Build.Path, StringComparison.Ordinal));
        }
        // People know the binary by where it ran, not by where the server keeps it.
        GenerationReport named = generated.Report with { Binary = build.Build.Path };
        using JsonDocument report = JsonDocument.Parse(named.ToJson());
        StoredResult result = new(
            generated.Hash, generated.Report.TakenBranchesToExecutableBytesRatio, report.RootElement.Clone(),
            named.ToText());
        await blobs.PutAsync(BytesKey(generated.Hash), generated.Bytes, stop);
        await blobs.PutAsync(key, JsonSerializer.SerializeToUtf8Bytes(result, ResultJson.Default.StoredResult), stop);
        return result;
    }

    public void Dispose() => generating.Dispose();
}
