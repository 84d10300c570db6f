using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Server.Http;
using Polly;
using Polly.Retry;

namespace Perforator.Cli;

/// <summary>The server's HTTP API as the verbs use it. Every failure is a <see cref="UserErrorException"/> that names the server.</summary>
internal sealed class ServerClient : IDisposable
{
    private readonly HttpClient http;
    private readonly ResiliencePipeline<HttpResponseMessage> retry;

    /// <param name="server">The server's address.</param>
    /// <param name="retries">
    /// How often a request is repeated, with growing pauses, when the server cannot be reached or is overloaded; every request is
    /// idempotent. An agent waits out a restart so; a person at a terminal wants to know at once.
    /// </param>
    public ServerClient(Uri server, int retries = 0)
    {
        Address = server;
        SocketsHttpHandler handler = new() { ConnectTimeout = TimeSpan.FromSeconds(10), UseProxy = !server.IsLoopback };
        http = new HttpClient(ServerCredentials.AddTo(handler)) { BaseAddress = server, Timeout = TimeSpan.FromMinutes(10) };
        retry = Retry(retries);
    }

    /// <summary>The server's address.</summary>
    public Uri Address { get; }

    /// <summary>Uploads a profile; when this returns the server has it on its disk.</summary>
    public async Task<UploadReceipt> UploadProfileAsync(BranchProfileSet set, CancellationToken stop)
    {
        byte[] encoded = BranchProfileCodec.Encode(set);
        using HttpResponseMessage response = await SendAsync(() =>
        {
            ByteArrayContent content = new(encoded);
            content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Branches);
            return new HttpRequestMessage(HttpMethod.Post, "api/v1/profiles") { Content = content };
        }, stop);
        return await ReadAsync(response, ApiJson.Default.UploadReceipt, stop);
    }

    /// <summary>Whether the server holds a binary.</summary>
    public async Task<bool> HasBinaryAsync(BuildId buildId, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(
            () => new HttpRequestMessage(HttpMethod.Head, BinaryPath(buildId)), stop, accept: static status => status == HttpStatusCode.NotFound);
        return response.IsSuccessStatusCode;
    }

    /// <summary>Uploads a binary; one the server has already is not sent again.</summary>
    /// <param name="buildId">Its build id, which the server checks.</param>
    /// <param name="path">Where to read it.</param>
    public async Task UploadBinaryAsync(BuildId buildId, string path, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(() =>
        {
            StreamContent content = new(OpenBinary(path));
            content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Bytes);
            // The server says whether it wants the body before it is sent.
            return new HttpRequestMessage(HttpMethod.Put, BinaryPath(buildId)) { Content = content, Headers = { ExpectContinue = true } };
        }, stop);
    }

    /// <summary>All services.</summary>
    public Task<IReadOnlyList<ServiceSummary>> ListServicesAsync(CancellationToken stop) =>
        GetAsync("api/v1/services", ApiJson.Default.IReadOnlyListServiceSummary, stop);

    /// <summary>One service's builds, the default one first.</summary>
    public Task<ServiceDetail> GetServiceAsync(string service, CancellationToken stop) =>
        GetAsync(ServicePath(service), ApiJson.Default.ServiceDetail, stop);

    /// <summary>Has the server generate a service's sample profile.</summary>
    public Task<PgoAnswer> GetPgoAsync(
        string service, string? buildId, DateTimeOffset? since, DateTimeOffset? until, string format, bool symbolList, CancellationToken stop) =>
        GetAsync($"{ServicePath(service)}/pgo?format={format}&symbolList={(symbolList ? "true" : "false")}{Selection(buildId, since, until)}", ApiJson.Default.PgoAnswer, stop);

    /// <summary>A generated profile's bytes.</summary>
    public async Task<byte[]> GetResultAsync(string hash, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(() => new HttpRequestMessage(HttpMethod.Get, $"api/v1/results/{hash}"), stop);
        byte[] bytes = await ReadBytesAsync(response, stop);
        return Convert.ToHexStringLower(SHA256.HashData(bytes)) == hash
            ? bytes
            : throw new UserErrorException($"the profile from {Address} arrived damaged; try again");
    }

    /// <summary>The sum of a build's branch profiles, and how many there were.</summary>
    public async Task<(BranchProfileSet Set, long TotalProfiles)> GetBranchesAsync(
        string service, string buildId, DateTimeOffset? since, DateTimeOffset? until, CancellationToken stop)
    {
        using HttpResponseMessage response = await SendAsync(
            () => new HttpRequestMessage(HttpMethod.Get, $"{ServicePath(service)}/branches?{Selection(buildId, since, until)}"), stop);
        byte[] bytes = await ReadBytesAsync(response, stop);
        if (!response.Headers.TryGetValues(ApiHeaders.TotalProfiles, out IEnumerable<string>? total) || !long.TryParse(total.First(), out long profiles))
            profiles = 0;
        try
        {
            return (BranchProfileCodec.Decode(bytes), profiles);
        }
        catch (MalformedInputException e)
        {
            throw new UserErrorException($"the branches from {Address} arrived damaged ({e.Message}); try again", e);
        }
    }

    private static string ServicePath(string service) => $"api/v1/services/{Uri.EscapeDataString(service)}";

    private static string Selection(string? buildId, DateTimeOffset? since, DateTimeOffset? until)
    {
        StringBuilder query = new();
        if (buildId is not null)
            query.Append("&buildId=").Append(Uri.EscapeDataString(buildId));
        if (since is { } from)
            query.Append("&since=").Append(Uri.EscapeDataString(from.ToString("O")));
        if (until is { } to)
            query.Append("&until=").Append(Uri.EscapeDataString(to.ToString("O")));
        return query.ToString();
    }

    private async Task<byte[]> ReadBytesAsync(HttpResponseMessage response, CancellationToken stop)
    {
        try
        {
            return await response.Content.ReadAsByteArrayAsync(stop);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new UserErrorException($"the server {Address} broke off its answer ({e.Message}); try again", e);
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
            throw new UserErrorException(Unreachable(e), e);
        }
        catch (TaskCanceledException e) when (!stop.IsCancellationRequested)
        {
            throw new UserErrorException($"the server {Address} did not answer in {http.Timeout.TotalMinutes:0} minutes", e);
        }
        if (response.IsSuccessStatusCode || accept?.Invoke(response.StatusCode) == true)
            return response;
        using (response)
        {
            string message = await DescribeAsync(response, stop);
            throw response.StatusCode >= HttpStatusCode.InternalServerError || response.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout
                ? new UserErrorException(message, new HttpRequestException(message, null, response.StatusCode))
                : new UserErrorException(message);
        }
    }

    /// <summary>Whether a request that failed with this error may succeed later: the server was away or in trouble, rather than refusing it.</summary>
    public static bool IsWorthRepeating(UserErrorException failure) => failure.InnerException is not null;

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
            throw new UserErrorException($"the answer of {Address} cannot be read; is it a Perforator server, of this version?", e);
        }
    }

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

    private static string BinaryPath(BuildId buildId) => $"api/v1/binaries/{buildId}";

    private static ResiliencePipeline<HttpResponseMessage> Retry(int retries) => retries == 0
        ? ResiliencePipeline<HttpResponseMessage>.Empty
        : new ResiliencePipelineBuilder<HttpResponseMessage>().AddRetry(new RetryStrategyOptions<HttpResponseMessage>
        {
            MaxRetryAttempts = retries,
            BackoffType = DelayBackoffType.Exponential,
            UseJitter = true,
            Delay = TimeSpan.FromMilliseconds(500),
            MaxDelay = TimeSpan.FromSeconds(30),
            ShouldHandle = static attempt => ValueTask.FromResult(
                attempt.Outcome.Exception is HttpRequestException
                || attempt.Outcome.Result?.StatusCode is HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway
                    or HttpStatusCode.GatewayTimeout),
        }).Build();

    public void Dispose() => http.Dispose();
}
