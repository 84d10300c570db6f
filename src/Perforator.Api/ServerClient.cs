using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Perforator.Api.Uploading;
using Perforator.Branches;
using Perforator.Bytes;
using Polly;
using Polly.Retry;

namespace Perforator.Api;

/// <summary>
/// The server's HTTP API. Every failure is a <see cref="ServerException"/> that names the server. May be used from any thread.
/// </summary>
public sealed class ServerClient : IDisposable
{
    /// <summary>Between attempts: the first time, and at most. A fleet whose server was away comes back over a minute.</summary>
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500), LongestPause = TimeSpan.FromSeconds(60);

    /// <summary>No answer puts a client off for longer.</summary>
    private static readonly TimeSpan LongestRetryAfter = TimeSpan.FromMinutes(10);

    /// <summary>How often a server may lose parts of a binary that it had.</summary>
    private const int MaxLosses = 3;

    private readonly HttpClient http;
    private readonly ResiliencePipeline<HttpResponseMessage> retry;

    /// <param name="server">The server's address.</param>
    /// <param name="retries">
    /// How often a request is repeated, with growing pauses, when the server cannot be reached or is overloaded; every request is
    /// idempotent. An agent waits out a restart so; a person at a terminal wants to know at once.
    /// </param>
    /// <param name="onTrouble">Told, before each repetition, why: of long waits people want to know.</param>
    public ServerClient(Uri server, int retries = 0, Action<string>? onTrouble = null)
    {
        Address = server;
        SocketsHttpHandler handler = new() { ConnectTimeout = TimeSpan.FromSeconds(10), UseProxy = !server.IsLoopback };
        http = new HttpClient(ServerCredentials.AddTo(handler)) { BaseAddress = server, Timeout = TimeSpan.FromMinutes(10) };
        retry = Retry(retries, onTrouble);
    }

    /// <summary>The server's address.</summary>
    public Uri Address { get; }

    /// <summary>Uploads a profile; when this returns the server has it on its disk.</summary>
    public Task<UploadReceipt> UploadProfileAsync(BranchProfileSet set, CancellationToken stop) =>
        UploadProfileAsync(BranchProfileCodec.Encode(set), stop);

    /// <summary>Uploads a profile that <see cref="BranchProfileCodec"/> has encoded.</summary>
    public async Task<UploadReceipt> UploadProfileAsync(byte[] encoded, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(() =>
        {
            ByteArrayContent content = new(encoded);
            content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Branches);
            return new HttpRequestMessage(HttpMethod.Post, ApiRoutes.Profiles) { Content = content };
        }, stop);
        UploadReceipt receipt = await ReadAsync(response, ApiJson.Default.UploadReceipt, stop);
        return receipt is { Id: not null, WantedBinaries: not null } && (receipt.Plan is null || ServicePlan.IsWhole(receipt.Plan))
            ? receipt : throw NotWhole(null);
    }

    /// <summary>Tells the server what this host runs, and asks what to record of it.</summary>
    public async Task<PlanAnswer> GetPlanAsync(PlanRequest request, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(
            () => new HttpRequestMessage(HttpMethod.Post, ApiRoutes.Plan) { Content = JsonContent.Create(request, ApiJson.Default.PlanRequest) }, stop);
        PlanAnswer plan = await ReadAsync(response, ApiJson.Default.PlanAnswer, stop);
        return RecordingPlan.IsWhole(plan) ? plan : throw NotWhole(null);
    }

    /// <summary>Whether the server holds a binary.</summary>
    public async Task<bool> HasBinaryAsync(BuildId buildId, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(
            () => new HttpRequestMessage(HttpMethod.Head, BinaryPath(buildId)), stop,
            accept: static status => status == HttpStatusCode.NotFound);
        return response.IsSuccessStatusCode;
    }

    /// <summary>
    /// Uploads a binary or debug file; one the server has already is not sent again. A large one goes in parts, and what arrived of it
    /// before, by whomever, is not sent again either.
    /// </summary>
    /// <param name="buildId">Its build id, which the server checks.</param>
    /// <param name="path">Where to read it.</param>
    /// <param name="isPackage">Whether it is a package of split DWARF, which the server may lack though it has the binary with its debug
    /// info.</param>
    public async Task UploadBinaryAsync(BuildId buildId, string path, CancellationToken stop, bool isPackage = false)
    {
        string target = ApiRoutes.To(ApiRoutes.Binaries, [buildId.ToString()], ("kind", isPackage ? ApiRoutes.SplitKind : null));
        await using FileStream file = OpenBinary(path);
        long size = file.Length;
        string digest = $"sha-256=:{Convert.ToBase64String(await SHA256.HashDataAsync(file, stop))}:";
        long at;
        using (HttpResponseMessage held = await SendAsync(
            () => new HttpRequestMessage(HttpMethod.Head, target) { Headers = { { ApiHeaders.ReprDigest, digest } } }, stop,
            accept: static status => status == HttpStatusCode.NotFound))
        {
            if (held.IsSuccessStatusCode)
                return;
            at = Next(held);
        }
        for (int losses = 0; ;)
        {
            long length = Math.Min(ApiRoutes.BinaryPartBytes, size - at);
            using HttpResponseMessage response = await SendAsync(() =>
            {
                // A refusal comes before the bytes are sent.
                HttpRequestMessage put =
                    new(HttpMethod.Put, target) { Content = new FilePart(file, at, length), Headers = { ExpectContinue = true } };
                if (length < size)
                {
                    put.Content.Headers.ContentRange = new ContentRangeHeaderValue(at, at + length - 1, size);
                    put.Headers.Add(ApiHeaders.ReprDigest, digest);
                }
                return put;
            }, stop);
            if (response.StatusCode != HttpStatusCode.Accepted)
                return;
            long next = Next(response);
            if (next <= at && ++losses > MaxLosses)
                throw NotWhole(null);
            at = next;
        }

        // The part that an answer asks for.
        long Next(HttpResponseMessage response) =>
            response.Headers.TryGetValues(ApiHeaders.UploadOffset, out IEnumerable<string>? values)
                && long.TryParse(values.First(), out long there) && there > 0
                ? Math.Min(there, size - 1) / ApiRoutes.BinaryPartBytes * ApiRoutes.BinaryPartBytes : 0;
    }

    /// <summary>All services.</summary>
    public Task<IReadOnlyList<ServiceSummary>> ListServicesAsync(CancellationToken stop) =>
        GetAsync(ApiRoutes.Services, ApiJson.Default.IReadOnlyListServiceSummary, stop);

    /// <summary>All services at a glance: whether their profiles are fit to build with.</summary>
    public Task<FleetOverview> GetOverviewAsync(CancellationToken stop) =>
        GetAsync(ApiRoutes.Overview, ApiJson.Default.FleetOverview, stop);

    /// <summary>The hosts that have an agent, those heard of last first.</summary>
    public Task<IReadOnlyList<AgentSummary>> ListAgentsAsync(CancellationToken stop) =>
        GetAsync(ApiRoutes.Agents, ApiJson.Default.IReadOnlyListAgentSummary, stop);

    /// <summary>A service over time.</summary>
    public Task<ServiceTimeline> GetTimelineAsync(string service, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Timeline, [service]), ApiJson.Default.ServiceTimeline, stop);

    /// <summary>One service's builds and labels, the builds that hosts run now first.</summary>
    public Task<ServiceDetail> GetServiceAsync(string service, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Service, [service]), ApiJson.Default.ServiceDetail, stop);

    /// <summary>
    /// Has the server generate a service's sample profile, or give the one it has of the same inputs; waits until it is there.
    /// </summary>
    /// <param name="gates">What it will have to be like, for the history to tell.</param>
    public async Task<PgoAnswer> GetPgoAsync(string service, PgoRequest request, CancellationToken stop, PgoGates? gates = null)
    {
        string path = request.PathOf(service, gates);
        while (true)
        {
            using HttpResponseMessage response = await SendAsync(() => new HttpRequestMessage(HttpMethod.Get, path), stop);
            if (response.StatusCode != HttpStatusCode.Accepted)
                return await ReadAsync(response, ApiJson.Default.PgoAnswer, stop);
            PgoJob job = await ReadAsync(response, ApiJson.Default.PgoJob, stop);
            path = ApiRoutes.To(ApiRoutes.Jobs, [job.Id], PgoGates.QueryOf(gates));
            await Task.Delay(response.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(1), stop);
        }
    }

    /// <summary>A profile that was generated before.</summary>
    /// <param name="hash">SHA-256 of its bytes, or at least the first 8 digits of it.</param>
    /// <param name="gates">What it will have to be like, for the history to tell.</param>
    public Task<PgoAnswer> GetPgoAsync(string service, string hash, CancellationToken stop, PgoGates? gates = null) =>
        GetAsync(ApiRoutes.To(ApiRoutes.PgoOfHash, [service, hash], PgoGates.QueryOf(gates)), ApiJson.Default.PgoAnswer, stop);

    /// <summary>Functions of a profile that was generated before, those with most samples first.</summary>
    /// <param name="hash">SHA-256 of the profile's bytes, or at least the first 8 digits of it.</param>
    /// <param name="search">Only those with this in their name; null for all.</param>
    public Task<FunctionPage> ListFunctionsAsync(string service, string hash, string? search, int limit, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(
            ApiRoutes.Functions, [service, hash], ("q", search), ("limit", $"{limit}")), ApiJson.Default.FunctionPage, stop);

    /// <summary>One of them in full.</summary>
    /// <param name="id">Its <see cref="FunctionSummary.Id"/>.</param>
    public Task<FunctionDetail> GetFunctionAsync(string service, string hash, string id, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Function, [service, hash, id]), ApiJson.Default.FunctionDetail, stop);

    /// <summary>Inlining and calls of a profile that was generated before.</summary>
    /// <param name="from">The hash of a profile to compare with; null for none.</param>
    public Task<ProfileTree> GetTreeAsync(string service, string hash, string? from, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Tree, [service, hash], ("from", from)), ApiJson.Default.ProfileTree, stop);

    /// <summary>A generated profile's bytes.</summary>
    /// <param name="hash">All of its SHA-256.</param>
    public async Task<byte[]> GetResultAsync(string hash, CancellationToken stop)
    {
        using HttpResponseMessage response =
            await SendAsync(() => new HttpRequestMessage(HttpMethod.Get, ApiRoutes.To(ApiRoutes.Results, [hash])), stop);
        byte[] bytes = await ReadBytesAsync(response, stop);
        return Convert.ToHexStringLower(SHA256.HashData(bytes)) == hash
            ? bytes
            : throw new ServerException(ServerFailure.Unreadable, $"the profile from {Address} arrived damaged; try again");
    }

    /// <summary>Profiles generated of a service, the latest first.</summary>
    /// <param name="limit">How many at most.</param>
    /// <param name="before">A page's <see cref="HistoryPage.Before"/>, for those that follow it; null for the first page.</param>
    public Task<HistoryPage> GetHistoryAsync(string service, int limit, string? before, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.History, [service], ("limit", $"{limit}"), ("before", before)), ApiJson.Default.HistoryPage, stop);

    /// <summary>The names that stand for profiles of a service.</summary>
    public Task<IReadOnlyList<NamedProfile>> ListNamesAsync(string service, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Names, [service]), ApiJson.Default.IReadOnlyListNamedProfile, stop);

    /// <summary>What a name stands for.</summary>
    public Task<NamedProfile> GetNameAsync(string service, string name, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Name, [service, name]), ApiJson.Default.NamedProfile, stop);

    /// <summary>Lets a name stand for a kept profile; promoting <see cref="NamedProfile.Previous"/> rolls back.</summary>
    public async Task<NamedProfile> PromoteAsync(string service, string name, string hash, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(() => new HttpRequestMessage(HttpMethod.Put, ApiRoutes.To(ApiRoutes.Name, [service, name]))
        {
            Content = JsonContent.Create(new PromoteRequest(hash), ApiJson.Default.PromoteRequest),
        }, stop);
        return await ReadAsync(response, ApiJson.Default.NamedProfile, stop);
    }

    /// <summary>Takes a name away; the profile stays.</summary>
    public async Task DeleteNameAsync(string service, string name, CancellationToken stop)
    {
        using HttpResponseMessage response =
            await SendAsync(() => new HttpRequestMessage(HttpMethod.Delete, ApiRoutes.To(ApiRoutes.Name, [service, name])), stop);
    }

    /// <summary>What changed from one kept profile to another.</summary>
    public Task<ProfileDiff> GetDiffAsync(string service, string from, string to, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Diff, [service], ("from", from), ("to", to)), ApiJson.Default.ProfileDiff, stop);

    /// <summary>How well a kept profile fits a build's binary that the server holds.</summary>
    public Task<FitAnswer> GetFitAsync(string service, string hash, string buildId, CancellationToken stop) =>
        GetAsync(ApiRoutes.To(ApiRoutes.Fit, [service], ("hash", hash), ("buildId", buildId)), ApiJson.Default.FitAnswer, stop);

    /// <summary>The sum of a build's branch profiles, and how many there were.</summary>
    /// <param name="request">Which profiles; <see cref="PgoRequest.BuildId"/> names the build.</param>
    public async Task<(BranchProfileSet Set, long TotalProfiles)> GetBranchesAsync(
        string service, PgoRequest request, CancellationToken stop)
    {
        string path = request.PathOf(service).Replace("/pgo", "/branches", StringComparison.Ordinal);
        using HttpResponseMessage response = await SendAsync(() => new HttpRequestMessage(HttpMethod.Get, path), stop);
        byte[] bytes = await ReadBytesAsync(response, stop);
        if (!response.Headers.TryGetValues(ApiHeaders.TotalProfiles, out IEnumerable<string>? total)
            || !long.TryParse(total.First(), out long profiles))
            profiles = 0;
        try
        {
            return (BranchProfileCodec.Decode(bytes), profiles);
        }
        catch (MalformedInputException e)
        {
            throw new ServerException(ServerFailure.Unreadable, $"the branches from {Address} arrived damaged ({e.Message}); try again", e);
        }
    }

    private async Task<byte[]> ReadBytesAsync(HttpResponseMessage response, CancellationToken stop)
    {
        try
        {
            return await response.Content.ReadAsByteArrayAsync(stop);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new ServerException(ServerFailure.Unreachable, $"the server {Address} broke off its answer ({e.Message}); try again", e);
        }
    }

    private async Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(() => new HttpRequestMessage(HttpMethod.Get, path), stop);
        return await ReadAsync(response, type, stop);
    }

    private async Task<HttpResponseMessage> SendAsync(
        Func<HttpRequestMessage> request, CancellationToken stop, Func<HttpStatusCode, bool>? accept = null)
    {
        HttpResponseMessage response;
        try
        {
            response = await retry.ExecuteAsync(async token =>
            {
                using HttpRequestMessage message = request();
                return await http.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, token);
            }, stop);
        }
        catch (HttpRequestException e)
        {
            throw new ServerException(ServerFailure.Unreachable, Unreachable(e), e);
        }
        catch (TaskCanceledException e) when (!stop.IsCancellationRequested)
        {
            throw new ServerException(
                ServerFailure.Unreachable, $"the server {Address} did not answer in {http.Timeout.TotalMinutes:0} minutes", e);
        }
        if (response.IsSuccessStatusCode || accept?.Invoke(response.StatusCode) == true)
            return response;
        using (response)
            throw new ServerException(FailureOf(response.StatusCode), await DescribeAsync(response, stop));
    }

    private static ServerFailure FailureOf(HttpStatusCode status) => status switch
    {
        HttpStatusCode.NotFound => ServerFailure.NotFound,
        HttpStatusCode.Conflict => ServerFailure.Unusable,
        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => ServerFailure.Forbidden,
        HttpStatusCode.MethodNotAllowed or HttpStatusCode.NotAcceptable or HttpStatusCode.UnsupportedMediaType
            or HttpStatusCode.UpgradeRequired
            or HttpStatusCode.Gone or HttpStatusCode.NotImplemented => ServerFailure.Unreadable,
        HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout or >= HttpStatusCode.InternalServerError =>
            ServerFailure.Unavailable,
        _ => ServerFailure.Refused,
    };

    private string Unreachable(HttpRequestException e)
    {
        string reason = e.InnerException is SocketException socket ? socket.SocketErrorCode switch
        {
            SocketError.ConnectionRefused => "nothing listens there",
            SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain => "its host name is unknown",
            SocketError.TimedOut => "no answer",
            _ => socket.Message,
        }
        : e.HttpRequestError == HttpRequestError.ResponseEnded ? "it closed the connection" : e.InnerException?.Message ?? e.Message;
        return $"cannot reach the server {Address}: {reason}; start one with 'perforator serve', or name yours with --server or PERFORATOR_SERVER";
    }

    private async Task<string> DescribeAsync(HttpResponseMessage response, CancellationToken stop)
    {
        string? detail = null;
        if (response.Content.Headers.ContentType?.MediaType?.EndsWith("json", StringComparison.Ordinal) == true)
        {
            try
            {
                detail = JsonSerializer.Deserialize(await response.Content.ReadAsStringAsync(stop), ApiJson.Default.Problem)?.Detail;
            }
            catch (Exception e) when (e is JsonException or HttpRequestException or IOException)
            {
            }
        }
        return detail is null
            ? $"{Address} answered {(int)response.StatusCode} {response.ReasonPhrase}; is it a Perforator server?"
            : ProfileLabels.Printable(detail, 2000);
    }

    private async Task<T> ReadAsync<T>(HttpResponseMessage response, JsonTypeInfo<T> type, CancellationToken stop)
    {
        try
        {
            await using Stream body = await response.Content.ReadAsStreamAsync(stop);
            return await JsonSerializer.DeserializeAsync(body, type, stop) ?? throw new JsonException();
        }
        catch (Exception e) when (e is JsonException or HttpRequestException or IOException)
        {
            throw NotWhole(e);
        }
    }

    private ServerException NotWhole(Exception? e) =>
        new(ServerFailure.Unreadable, $"the answer of {Address} cannot be read; is it a Perforator server, of this version?", e);

    private static FileStream OpenBinary(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot read {path}: {e.Message}", e);
        }
    }

    private static string BinaryPath(BuildId buildId) => ApiRoutes.To(ApiRoutes.Binaries, [buildId.ToString()]);

    private ResiliencePipeline<HttpResponseMessage> Retry(int retries, Action<string>? onTrouble) => retries == 0
        ? ResiliencePipeline<HttpResponseMessage>.Empty
        : new ResiliencePipelineBuilder<HttpResponseMessage>().AddRetry(new RetryStrategyOptions<HttpResponseMessage>
        {
            MaxRetryAttempts = retries,
            DelayGenerator = static attempt =>
                ValueTask.FromResult<TimeSpan?>(PauseBefore(attempt.AttemptNumber, attempt.Outcome.Result?.Headers.RetryAfter)),
            ShouldHandle = static attempt => ValueTask.FromResult(
                attempt.Outcome.Exception is HttpRequestException
                || attempt.Outcome.Result?.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests
                    or HttpStatusCode.BadGateway
                    or HttpStatusCode.GatewayTimeout),
            OnRetry = attempt =>
            {
                onTrouble?.Invoke(attempt.Outcome.Exception is HttpRequestException e ? Unreachable(e)
                    : $"the server {Address} cannot take more now (it answered {(int)attempt.Outcome.Result!.StatusCode}); what waits is sent later");
                return default;
            },
        }).Build();

    /// <summary>
    /// Twice as long each time, and as long as the server says; a random part of it, so that those whom one failure has sent away do not
    /// come back at one moment.
    /// </summary>
    internal static TimeSpan PauseBefore(int attempt, RetryConditionHeaderValue? retryAfter)
    {
        TimeSpan pause = FirstPause * Math.Pow(2, Math.Min(attempt, 16));
        pause = (pause < LongestPause ? pause : LongestPause) * (0.5 + (Random.Shared.NextDouble() / 2));
        TimeSpan wanted = retryAfter?.Delta ?? retryAfter?.Date - DateTimeOffset.UtcNow ?? TimeSpan.Zero;
        wanted = wanted < LongestRetryAfter ? wanted : LongestRetryAfter;
        return wanted <= TimeSpan.Zero ? pause : wanted * (1 + (Random.Shared.NextDouble() / 2));
    }

    public void Dispose() => http.Dispose();
}
