using System.Collections.Concurrent;
using System.Diagnostics;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Generation;
using Perforator.SampleProfiles;
using Perforator.Server.Domain;
using Perforator.Server.Http;
using Perforator.Server.Ingest;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>What a generation task has to know.</summary>
/// <param name="TraceParent">The trace of the request that asked first, as W3C's header has it.</param>
internal sealed record GenerationOrder(string Service, PgoRequest Request, string? TraceParent = null);

/// <summary>Why a generation task failed, as it is told to whoever asks.</summary>
internal sealed record GenerationFailure(int Status, string Detail);

/// <summary>JSON of tasks.</summary>
[JsonSerializable(typeof(GenerationOrder))]
[JsonSerializable(typeof(GenerationFailure))]
internal sealed partial class TaskJson : JsonSerializerContext;

/// <summary>
/// Generates sample profiles where the binaries are, each once: results are kept under a hash of all that went in, and whoever asks for
/// the same while it is made waits for the one task. The task goes on when nobody waits any more.
/// </summary>
internal sealed class PgoResults
{
    /// <summary>The kind of a task that generates.</summary>
    public const string TaskKind = "pgo";

    /// <summary>How long a request waits for a task; less than proxies do.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly ProfileReader reader;
    private readonly ServerStorage storage;
    private readonly DebuginfodSource debuginfod;
    private readonly TimeProvider time;

    /// <summary>Told when a task of this process ends, so that who waits for it need not ask the database.</summary>
    private readonly ConcurrentDictionary<string, TaskCompletionSource> waiting = [];

    public PgoResults(ProfileReader reader, ServerStorage storage, DebuginfodSource debuginfod, TimeProvider time)
    {
        this.reader = reader;
        this.storage = storage;
        this.debuginfod = debuginfod;
        this.time = time;
    }

    /// <summary>Released for each task that is asked for here.</summary>
    public SemaphoreSlim Ordered { get; } = new(0);

    /// <summary>This version, as results name it.</summary>
    public static string Tool { get; } =
        typeof(PgoResults).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    /// <summary>The profile that a request asks for, or the task that makes it.</summary>
    /// <exception cref="ApiException">No such service or form, or nothing that could be used.</exception>
    public async Task<(PgoAnswer? Answer, PgoJob? Job)> GetAsync(string service, PgoRequest request, CancellationToken stop)
    {
        Inputs inputs = await InputsAsync(service, request, stop);
        if (await FindAsync(inputs.Key, stop) is { } kept)
            return (AnswerOf(kept), null);
        // The span is kept as it is now, so that the task makes what was asked for.
        GenerationOrder order =
            new(service, request with { Since = inputs.Selected.Span.Since, Until = inputs.Selected.Span.Until }, Activity.Current?.Id);
        ServerTask task =
            await storage.Tasks.EnqueueAsync(TaskKind, inputs.Key, JsonSerializer.Serialize(order, TaskJson.Default.GenerationOrder), stop);
        Ordered.Release();
        return await WaitAsync(task.Id, stop);
    }

    /// <summary>What came of a task, or how far it is.</summary>
    /// <exception cref="ApiException">There is no such task, or it failed.</exception>
    public async Task<(PgoAnswer? Answer, PgoJob? Job)> WaitAsync(string taskId, CancellationToken stop)
    {
        TaskCompletionSource ended =
            waiting.GetOrAdd(taskId, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        // Whatever becomes of the clock meanwhile.
        long start = time.GetTimestamp();
        TimeSpan pause = TimeSpan.FromMilliseconds(20);
        try
        {
            while (true)
            {
                ServerTask task = await storage.Tasks.FindAsync(taskId, stop) is { Kind: TaskKind } found
                    ? found : throw ApiException.NotFound("there is no such job any more; ask for the profile again");
                GenerationOrder order = JsonSerializer.Deserialize(task.Payload, TaskJson.Default.GenerationOrder)!;
                if (task.State == TaskState.Failed)
                {
                    GenerationFailure failure = JsonSerializer.Deserialize(task.Outcome!, TaskJson.Default.GenerationFailure)!;
                    throw new ApiException(failure.Status, failure.Detail);
                }
                if (task.State == TaskState.Done)
                    return await FindAsync(task.Outcome!, stop) is { } kept
                        ? (AnswerOf(kept), null)
                        : throw ApiException.NotFound("the job's profile is no longer kept; ask for the profile again");
                if (time.GetElapsedTime(start) >= Patience)
                    return (null, new PgoJob(taskId, task.State == TaskState.Running ? "running" : "waiting", order.Service));
                await Task.WhenAny(ended.Task, Task.Delay(pause, stop));
                stop.ThrowIfCancellationRequested();
                pause = TimeSpan.FromMilliseconds(Math.Min(500, pause.TotalMilliseconds * 2));
            }
        }
        finally
        {
            waiting.TryRemove(new(taskId, ended));
        }
    }

    /// <summary>The service that a task is of; null when there is none.</summary>
    public async Task<string?> ServiceOfTaskAsync(string taskId, CancellationToken stop) =>
        await storage.Tasks.FindAsync(taskId, stop) is { Kind: TaskKind } task
        ? JsonSerializer.Deserialize(task.Payload, TaskJson.Default.GenerationOrder)!.Service : null;

    /// <summary>Tells those who wait here that a task has ended.</summary>
    public void Ended(string taskId)
    {
        if (waiting.TryRemove(taskId, out TaskCompletionSource? ended))
            ended.TrySetResult();
    }

    /// <summary>Does a task. Gives the key of its result.</summary>
    /// <exception cref="ApiException">It cannot be done.</exception>
    public Task<string> GenerateAsync(GenerationOrder order, CancellationToken stop) =>
        ProfileReader.WithoutDamageAsync(() => GenerateOnceAsync(order, stop));

    private async Task<string> GenerateOnceAsync(GenerationOrder order, CancellationToken stop)
    {
        Inputs inputs = await InputsAsync(order.Service, order.Request, stop);
        if (await FindAsync(inputs.Key, stop) is not null)
            return inputs.Key;
        if (await debuginfod.FillAsync(inputs.Files, stop))
            inputs = await InputsAsync(order.Service, order.Request, stop);
        SelectedProfiles selected = inputs.Selected;
        ServiceObservations observed = await ObserveAsync(selected, inputs.Builds, stop);
        ServiceProfile generated;
        bool hasLost;
        using (StoredBinaries binaries = new(storage, inputs.Files, inputs.Shared))
        {
            try
            {
                generated = await Task.Run(() => ServiceProfileGenerator.Generate(observed, binaries, inputs.Options), stop);
            }
            catch (UserErrorException) when (binaries.HasLost)
            {
                throw new DamageFoundException($"a binary of {order.Service} is damaged; ask again");
            }
            catch (UserErrorException e)
            {
                throw new ApiException(StatusCodes.Status409Conflict, e.Message);
            }
            hasLost = binaries.HasLost;
        }
        // Under this key stands what is made of all of it.
        if (hasLost)
            throw new DamageFoundException($"a binary of {order.Service} is damaged; ask again");
        ServiceReport report = generated.Report;
        string[] builds = [.. report.Builds.Where(static build => build.Problem is null)
            .OrderByDescending(static build => build.TotalBranches)
            .Select(static build => build.BuildId.ToString())];
        await storage.Objects.PutAsync(ObjectKeys.Result(generated.Hash), generated.Bytes, stop);
        await storage.Results.AddAsync(new KeptResult(
            selected.Service, inputs.Key, generated.Hash, time.GetUtcNow(), selected.Selector.ToString(), selected.Span.Since,
            selected.Span.Until,
            selected.Uploads.Count, selected.Uploads.ToString(), builds, report.TakenBranchesToExecutableBytesRatio, report.ToJson(),
            report.ToText(),
            report.ToLine(), Tool), stop);
        return inputs.Key;
    }

    /// <summary>Everything that a profile is made of.</summary>
    /// <param name="Selected">The uploads.</param>
    /// <param name="Builds">The service's builds in them, in the order of <see cref="ServiceBuilds.Rank"/>.</param>
    /// <param name="Files">The builds' files.</param>
    /// <param name="Shared">Debug files that several builds may share.</param>
    /// <param name="Options">What of it goes in and how it is written.</param>
    /// <param name="Key">A hash of all of it and of the generator itself: equal keys, equal profiles.</param>
    private sealed record Inputs(
        SelectedProfiles Selected, IReadOnlyList<ServiceBuild> Builds, ILookup<BuildId, BinaryFile> Files, IReadOnlyList<BinaryFile> Shared,
        ServiceProfileOptions Options, string Key);

    private async Task<Inputs> InputsAsync(string service, PgoRequest request, CancellationToken stop)
    {
        ServiceProfileOptions options = OptionsOf(request);
        SelectedProfiles selected = await reader.SelectAsync(service, request, stop);
        IReadOnlyList<ServiceBuild> builds = ServiceBuilds.Rank(selected.Days);
        if (request.BuildId is { } id)
            options = options with { Only = [.. options.Only, NamedBuild.Find(builds, id, selected.Service).BuildId.ToString()] };
        IReadOnlyList<BinaryFile> files = await storage.Binaries.FindAsync([.. builds.Select(static build => build.BuildId)], stop);
        IReadOnlyList<BinaryFile> shared = await storage.Binaries.ListSharedAsync(stop);
        string all = string.Join('\n',
        [
            $"{typeof(ProfileGenerator).Module.ModuleVersionId} {selected.Selector} {selected.Uploads} {options.HalfLifeDays:R} {options.Form}",
            .. options.Only.Select(static only => $"only {only}"),
            .. builds.Where(static build => build.Running > 0).Select(static build => $"current {build.BuildId}"),
            .. files.Concat(shared).Select(static file => $"file {file.BuildId} {file.Object}").Order(StringComparer.Ordinal),
        ]);
        return new Inputs(
            selected, builds, files.ToLookup(static file => file.BuildId), shared, options,
            Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(all))));
    }

    /// <summary>Adds up what is selected.</summary>
    private async Task<ServiceObservations> ObserveAsync(
        SelectedProfiles selected, IReadOnlyList<ServiceBuild> builds, CancellationToken stop)
    {
        (ObservationSums sums, long lost) = await reader.SumAsync(
            selected, () => new ObservationSums(selected), static (sums, read) => sums.Add(read), static (sums, others) => sums.Add(others),
            stop);
        sums.Losses.Add(ProfileReader.Unreadable, (ulong)lost);
        return new ServiceObservations(
            selected.Service, sums.ToObservations(), sums.Losses,
            [.. builds.Where(static build => build.Running > 0).OrderByDescending(static build => build.Running)
                .Select(static build => build.BuildId)]);
    }

    /// <summary>One build's branches in what is selected, added up: of the build that is asked for, or of the first current one.</summary>
    /// <exception cref="ApiException">It has no such build.</exception>
    public async Task<(ServiceBuild Build, BranchProfile Branches, LossCounts Losses)> SumAsync(
        SelectedProfiles selected, PgoRequest request, CancellationToken stop)
    {
        IReadOnlyList<ServiceBuild> builds = ServiceBuilds.Rank(selected.Days);
        ServiceBuild build = builds[0];
        if (request.BuildId is { } id)
            build = NamedBuild.Find(builds, id, selected.Service);
        ((BranchProfile branches, LossCounts losses), long lost) = await reader.SumAsync(
            selected, () => (Branches: new BranchProfile(build.BuildId, build.Path), Losses: new LossCounts()),
            static (sum, read) =>
            {
                if (!read.Set.Profiles.TryGetValue(sum.Branches.BuildId, out BranchProfile? profile))
                    return;
                sum.Losses.Merge(read.Set.Losses);
                sum.Branches.Merge(profile);
            },
            static (sum, other) =>
            {
                sum.Losses.Merge(other.Losses);
                sum.Branches.Merge(other.Branches);
            }, stop);
        losses.Add(ProfileReader.Unreadable, (ulong)lost);
        return (build, branches, losses);
    }

    /// <summary>A result that is kept whole.</summary>
    private async Task<KeptResult?> FindAsync(string key, CancellationToken stop)
    {
        if (await storage.Results.FindAsync(key, stop) is not { } kept)
            return null;
        if (await storage.ReadResultAsync(kept.Profile, stop) is not null)
            return kept;
        await storage.Results.RemoveAsync(key, stop);
        return null;
    }

    /// <summary>A kept result as it is answered.</summary>
    public static PgoAnswer AnswerOf(KeptResult kept)
    {
        using JsonDocument report = JsonDocument.Parse(kept.Report);
        return new PgoAnswer(
            kept.Service, kept.Selector, kept.Profile, kept.Ratio, report.RootElement.Clone(), kept.ReportText, kept.ReportLine, kept.Tool, kept.Made)
        {
            BuildId = kept.Builds is [var first, ..] ? first : "",
        };
    }

    /// <summary>What a request says of how the profile is made.</summary>
    /// <exception cref="ApiException">There is no such form, or half-life.</exception>
    private static ServiceProfileOptions OptionsOf(PgoRequest request)
    {
        if (request.HalfLifeDays is < 0)
            throw ApiException.BadRequest($"halfLife is {request.HalfLifeDays}; give days, or 0 for no fading");
        return new ServiceProfileOptions
        {
            Form = request.Format switch
            {
                null or "extbinary" => new(SampleProfileFormat.ExtBinary, request.SymbolList),
                "text" when request.SymbolList =>
                    throw ApiException.BadRequest("the text format cannot hold a symbol list; ask for extbinary, or without symbolList"),
                "text" => new(SampleProfileFormat.Text),
                "gcc" or "go" when request.SymbolList =>
                    throw ApiException.BadRequest($"a profile for {request.Format} holds no symbol list; ask without symbolList"),
                "gcc" => new(SampleProfileFormat.Gcc, GccVersion: request.GccVersion ?? ProfileForm.DefaultGccVersion),
                "go" => new(SampleProfileFormat.Go),
                _ => throw ApiException.BadRequest(
                    $"format '{ProfileLabels.Printable(request.Format, 40)}' is not known; it is extbinary, text, gcc or go"),
            },
            HalfLifeDays = request.HalfLifeDays switch { null => ServiceProfileOptions.DefaultHalfLifeDays, 0 => null, var days => days },
            Only = request.Only,
        };
    }
}
