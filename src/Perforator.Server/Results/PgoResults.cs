using System.Collections.Concurrent;
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
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>What a generation task has to know.</summary>
internal sealed record GenerationOrder(string Service, PgoRequest Request);

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
    private readonly TimeProvider time;

    /// <summary>Told when a task of this process ends, so that who waits for it need not ask the database.</summary>
    private readonly ConcurrentDictionary<string, TaskCompletionSource> waiting = [];

    public PgoResults(ProfileReader reader, ServerStorage storage, TimeProvider time)
    {
        this.reader = reader;
        this.storage = storage;
        this.time = time;
    }

    /// <summary>Released for each task that is asked for here.</summary>
    public SemaphoreSlim Ordered { get; } = new(0);

    /// <summary>This version, as results name it.</summary>
    public static string Tool { get; } =
        typeof(PgoResults).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";

    /// <summary>The profile that a request asks for, or the task that makes it.</summary>
    /// <exception cref="ApiException">No such service, build or binary, or the binary cannot be used.</exception>
    public async Task<(PgoAnswer? Answer, PgoJob? Job)> GetAsync(string service, PgoRequest request, CancellationToken stop)
    {
        FormOf(request);
        SelectedProfiles selected = await reader.SelectAsync(service, request, stop);
        BuildChoice choice = await ChooseAsync(selected, request, stop);
        string key = KeyOf(selected, choice, request);
        if (await FindAsync(key, stop) is { } kept)
            return (await AnswerAsync(kept, choice, stop), null);
        // The span is kept as it is now, so that the task makes what was asked for.
        GenerationOrder order = new(service, request with { Since = selected.Span.Since, Until = selected.Span.Until });
        ServerTask task = await storage.Tasks.EnqueueAsync(TaskKind, key, JsonSerializer.Serialize(order, TaskJson.Default.GenerationOrder), stop);
        Ordered.Release();
        return await WaitAsync(task.Id, stop);
    }

    /// <summary>What came of a task, or how far it is.</summary>
    /// <exception cref="ApiException">There is no such task, or it failed.</exception>
    public async Task<(PgoAnswer? Answer, PgoJob? Job)> WaitAsync(string taskId, CancellationToken stop)
    {
        TaskCompletionSource ended = waiting.GetOrAdd(taskId, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        DateTimeOffset until = time.GetUtcNow() + Patience;
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
                        ? (await AnswerAsync(kept, null, stop), null)
                        : throw ApiException.NotFound("the job's profile is no longer kept; ask for the profile again");
                if (time.GetUtcNow() >= until)
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
    public async Task<string?> ServiceOfTaskAsync(string taskId, CancellationToken stop) => await storage.Tasks.FindAsync(taskId, stop) is { Kind: TaskKind } task
        ? JsonSerializer.Deserialize(task.Payload, TaskJson.Default.GenerationOrder)!.Service : null;

    /// <summary>Tells those who wait here that a task has ended.</summary>
    public void Ended(string taskId)
    {
        if (waiting.TryRemove(taskId, out TaskCompletionSource? ended))
            ended.TrySetResult();
    }

    /// <summary>Does a task. Gives the key of its result.</summary>
    /// <exception cref="ApiException">It cannot be done.</exception>
    public async Task<string> GenerateAsync(GenerationOrder order, CancellationToken stop)
    {
        ProfileForm form = FormOf(order.Request);
        SelectedProfiles selected = await reader.SelectAsync(order.Service, order.Request, stop);
        BuildChoice choice = await ChooseAsync(selected, order.Request, stop);
        string key = KeyOf(selected, choice, order.Request);
        if (await FindAsync(key, stop) is not null)
            return key;
        ServiceBuild build = choice.Build;
        BinaryFile executable = choice.Executable ?? throw new ApiException(
            StatusCodes.Status409Conflict,
            $"the server has profiles of {build.Path} (build id {build.BuildId}) but not the binary; give it with --binary FILE, or let an agent upload it");
        using LocalObject? binary = await storage.Objects.LeaseAsync(executable.Object, stop);
        if (binary is null)
        {
            await storage.Binaries.RemoveAsync(executable, stop);
            throw new ApiException(StatusCodes.Status409Conflict, $"the server has lost the binary of {build.Path} (build id {build.BuildId}); upload it again");
        }
        using LocalObject? debug = choice.Debug is null ? null : await storage.Objects.LeaseAsync(choice.Debug.Object, stop);
        (BranchProfile branches, LossCounts losses) = await SumAsync(selected, build.BuildId, stop);
        GeneratedProfile generated;
        try
        {
            generated = await Task.Run(
                () => GeneratedProfile.Generate(branches, build.Uploads, losses, binary.Path, new StoredDebugFiles(debug?.Path, null), selected.Service, form), stop);
        }
        catch (UserErrorException e)
        {
            throw new ApiException(StatusCodes.Status409Conflict, e.Message.Replace(binary.Path, build.Path, StringComparison.Ordinal));
        }
        // People know the binary by where it ran, not by where the server keeps it.
        GenerationReport report = generated.Report with { Binary = build.Path };
        await storage.Objects.PutAsync(ObjectKeys.Result(generated.Hash), generated.Bytes, stop);
        await storage.Results.AddAsync(new KeptResult(
            selected.Service, key, generated.Hash, time.GetUtcNow(), selected.Selector.ToString(), selected.Span.Since, selected.Span.Until,
            selected.Uploads.Count, selected.Uploads.ToString(), [build.BuildId.ToString()], report.TakenBranchesToExecutableBytesRatio,
            report.ToJson(), report.ToText(), LineOf(report), Tool), stop);
        return key;
    }

    /// <summary>The sum of one build's branches in what is selected.</summary>
    public async Task<(BranchProfile Branches, LossCounts Losses)> SumAsync(SelectedProfiles selected, BuildId buildId, CancellationToken stop)
    {
        BranchProfile? sum = null;
        LossCounts losses = new();
        long lost = await reader.ReadAsync(selected, read =>
        {
            if (!read.Set.Profiles.TryGetValue(buildId, out BranchProfile? profile))
                return;
            losses.Merge(read.Set.Losses);
            sum ??= new BranchProfile(buildId, profile.Path);
            sum.Merge(profile);
        }, stop);
        losses.Add(ProfileReader.Unreadable, (ulong)lost);
        return (sum ?? new BranchProfile(buildId, ""), losses);
    }

    /// <summary>The build that a request is about, and its files.</summary>
    /// <param name="Build">The build.</param>
    /// <param name="Others">The service's others, best first.</param>
    /// <param name="Executable">Its executable; null when the server has none.</param>
    /// <param name="Debug">Its debug file; null when there is none, or no need of it.</param>
    internal sealed record BuildChoice(ServiceBuild Build, IReadOnlyList<ServiceBuild> Others, BinaryFile? Executable, BinaryFile? Debug);

    /// <summary>The build asked for or, when none is named, the best one that has debug info.</summary>
    public async Task<BuildChoice> ChooseAsync(SelectedProfiles selected, PgoRequest request, CancellationToken stop)
    {
        IReadOnlyList<ServiceBuild> builds = ServiceBuilds.Rank(selected.Days);
        if (builds.Count == 0)
            throw ApiException.NotFound($"service {selected.Service} has no profiles in that time");
        ILookup<BuildId, BinaryFile> files = (await storage.Binaries.FindAsync([.. builds.Select(static build => build.BuildId)], stop)).ToLookup(static file => file.BuildId);
        ServiceBuild? build;
        if (request.BuildId is { } text)
        {
            BuildId wanted = BinariesEndpoint.Parse(text);
            build = builds.FirstOrDefault(one => one.BuildId == wanted) ?? throw ApiException.NotFound(
                $"{selected.Service} has no profiles of build id {wanted} in that time; it has: {string.Join(", ", builds.Select(static one => one.BuildId))}");
        }
        else
        {
            build = builds.FirstOrDefault(one => one.Branches > 0 && files[one.BuildId].Any(static file => file.HasDebugInfo)
                && files[one.BuildId].Any(static file => file.Kind == BinaryKind.Executable)) ?? builds[0];
        }
        BinaryFile? executable = files[build.BuildId].FirstOrDefault(static file => file.Kind == BinaryKind.Executable);
        BinaryFile? debug = executable is { HasDebugInfo: false } ? files[build.BuildId].FirstOrDefault(static file => file.Kind == BinaryKind.Debug) : null;
        return new BuildChoice(build, [.. builds.Where(one => one != build)], executable, debug);
    }

    /// <summary>Everything the result depends on: uploads, binary, form and the code of the generator itself.</summary>
    private static string KeyOf(SelectedProfiles selected, BuildChoice choice, PgoRequest request)
    {
        ProfileForm form = FormOf(request);
        string inputs = string.Join('\n',
            typeof(ProfileGenerator).Module.ModuleVersionId, selected.Selector, selected.Uploads, choice.Build.BuildId, choice.Executable?.Object,
            choice.Debug?.Object, form.Format, form.HasSymbolList);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(inputs)));
    }

    /// <summary>A result that is kept whole.</summary>
    private async Task<KeptResult?> FindAsync(string key, CancellationToken stop)
    {
        if (await storage.Results.FindAsync(key, stop) is not { } kept)
            return null;
        if (await storage.Objects.StatAsync(ObjectKeys.Result(kept.Profile), stop) is not null)
            return kept;
        await storage.Results.RemoveAsync(key, stop);
        return null;
    }

    private async Task<PgoAnswer> AnswerAsync(KeptResult kept, BuildChoice? choice, CancellationToken stop)
    {
        if (choice is null)
        {
            SelectedProfiles selected = await reader.SelectAsync(
                kept.Service, new PgoRequest { Selector = ServiceSelector.Parse(kept.Selector).Conditions, Since = kept.Since, Until = kept.Until }, stop);
            choice = await ChooseAsync(selected, new PgoRequest { BuildId = kept.Builds[0] }, stop);
        }
        return AnswerOf(kept) with
        {
            OtherBuilds = [.. choice.Others.Select(static b => new OtherBuild(b.BuildId.ToString(), b.Path, b.Branches, b.LastSeen))],
        };
    }

    /// <summary>A kept result as it is answered.</summary>
    public static PgoAnswer AnswerOf(KeptResult kept)
    {
        using JsonDocument report = JsonDocument.Parse(kept.Report);
        return new PgoAnswer(
            kept.Service, kept.Selector, kept.Profile, kept.Ratio, report.RootElement.Clone(), kept.ReportText, kept.ReportLine, kept.Tool, kept.Made)
        {
            BuildId = kept.Builds[0],
        };
    }

    private static string LineOf(GenerationReport report) => string.Create(
        System.Globalization.CultureInfo.InvariantCulture,
        $"{report.Service}: {report.TotalBranches} branches of {report.TotalProfiles} profiles, ratio {report.TakenBranchesToExecutableBytesRatio:0.##}, {report.Functions} functions");

    /// <summary>The form that a request asks for.</summary>
    /// <exception cref="ApiException">There is no such form.</exception>
    private static ProfileForm FormOf(PgoRequest request) => request.Format switch
    {
        null or "extbinary" => new(SampleProfileFormat.ExtBinary, request.SymbolList),
        "text" when request.SymbolList => throw ApiException.BadRequest("the text format cannot hold a symbol list; ask for extbinary, or without symbolList"),
        "text" => new(SampleProfileFormat.Text),
        _ => throw ApiException.BadRequest($"format '{ProfileLabels.Printable(request.Format, 40)}' is not known; it is extbinary or text"),
    };
}
