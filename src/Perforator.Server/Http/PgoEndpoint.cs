using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Net.Http.Headers;
using Perforator.Api;
using Perforator.Generation;
using Perforator.Server.Auth;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Http;

/// <summary><c>pgo</c>: generates a service's sample profile, or gives one that was generated; jobs; the profiles' bytes.</summary>
internal static class PgoEndpoint
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(ApiRoutes.Pgo, Get)
            .Produces<PgoAnswer>().Produces<PgoJob>(StatusCodes.Status202Accepted)
            .ProducesProblem(StatusCodes.Status409Conflict)
            .WithSummary("A service's sample profile: its report and the hash of its bytes; 202 with a job when it takes longer")
            .Requires(Role.Read);
        routes.MapGet(ApiRoutes.PgoOfHash, GetKept)
            .Produces<PgoAnswer>()
            .WithSummary("A profile that was generated before, by the SHA-256 of its bytes or its first digits").Requires(Role.Read);
        routes.MapGet(ApiRoutes.Jobs, GetJob)
            .Produces<PgoAnswer>().Produces<PgoJob>(StatusCodes.Status202Accepted)
            .WithSummary("What came of a job; 202 while it goes on").Requires(Role.Read);
        routes.MapGet(ApiRoutes.Results, GetBytes)
            .Produces<byte[]>(StatusCodes.Status200OK, ApiMediaTypes.Bytes)
            .WithSummary("A generated sample profile, by the SHA-256 of its bytes").Requires(Role.Read);
    }

    private static async Task<IResult> Get(string service, HttpContext context, PgoResults results, HistoryOfService history)
    {
        context.Response.Headers.CacheControl = "private, no-cache";
        return await AnswerAsync(
            context, history, await results.GetAsync(service, RequestOf(context.Request.Query), context.RequestAborted), "../../jobs/");
    }

    private static async Task<IResult> GetJob(string id, HttpContext context, PgoResults results, HistoryOfService history)
    {
        if (await results.ServiceOfTaskAsync(id, context.RequestAborted) is { } service)
            AccessControl.Require(context.Caller(), Role.Read, service);
        return await AnswerAsync(context, history, await results.WaitAsync(id, context.RequestAborted), "");
    }

    /// <param name="jobs">Where jobs are, seen from the request: nobody here knows below which path a proxy passes this on.</param>
    private static async Task<IResult> AnswerAsync(
        HttpContext context, HistoryOfService history, (PgoAnswer? Answer, PgoJob? Job) result, string jobs)
    {
        if (result.Answer is { } answer)
        {
            await history.NoteAskedAsync(
                answer.Service, answer.Profile, context.Caller().Name, GatesOf(context.Request.Query), answer.Report);
            return TypedResults.Ok(answer);
        }
        context.Response.Headers.RetryAfter = "1";
        return TypedResults.Accepted($"{jobs}{result.Job!.Id}", result.Job);
    }

    private static async Task<IResult> GetKept(
        string service, string hash, HttpContext context, HistoryOfService history, CancellationToken stop)
    {
        PgoAnswer answer = PgoResults.AnswerOf(await history.FindAsync(service, hash, stop));
        // Without gates it may be somebody who looks at the report; who builds with it fetches its bytes.
        ProfileGates gates = GatesOf(context.Request.Query);
        if (gates != new ProfileGates())
            await history.NoteAskedAsync(answer.Service, answer.Profile, context.Caller().Name, gates, answer.Report);
        return TypedResults.Ok(answer);
    }

    private static async Task<IResult> GetBytes(string hash, HttpContext context, ServerStorage storage, HistoryOfService history)
    {
        CancellationToken stop = context.RequestAborted;
        string[] allowed = hash.Length == 64 && hash.All(char.IsAsciiHexDigitLower)
            ? [.. (await storage.Results.ServicesOfAsync(hash, stop)).Where(service => context.Caller().Gives(Role.Read, service))] : [];
        byte[]? bytes = allowed.Length > 0 ? await storage.ReadResultAsync(hash, stop) : null;
        if (bytes is null)
            throw ApiException.NotFound("there is no such result; ask for the pgo profile again");
        foreach (string service in allowed)
            await history.NoteAskedAsync(service, hash, context.Caller().Name, new ProfileGates(), null);
        context.Response.Headers.CacheControl = "private, max-age=31536000, immutable";
        return TypedResults.Bytes(bytes, ApiMediaTypes.Bytes, entityTag: new EntityTagHeaderValue($"\"{hash}\""));
    }

    /// <summary>Reads a request's query.</summary>
    /// <exception cref="ApiException">A part of it is not what it should be.</exception>
    public static PgoRequest RequestOf(IQueryCollection query) => new()
    {
        Selector = Text("selector", query),
        BuildId = Text("buildId", query),
        Since = Time("since", query),
        Until = Time("until", query),
        WindowDays = Number("windowDays", query),
        HalfLifeDays = Number("halfLife", query),
        Only = [.. query["only"].OfType<string>()],
        Format = Text("format", query),
        SymbolList = string.Equals(Text("symbolList", query), "true", StringComparison.OrdinalIgnoreCase),
        GccVersion = (int?)Number("gccVersion", query),
    };

    /// <summary>Reads the gates that a client says it will hold the profile to.</summary>
    /// <exception cref="ApiException">One of them is no number.</exception>
    private static ProfileGates GatesOf(IQueryCollection query) => new(
        Number("minRatio", query), Number("minCoverage", query), Number("minOverlap", query),
        Number("maxAge", query) is { } seconds ? TimeSpan.FromSeconds(Math.Clamp(seconds, 0, 1e9)) : null,
        Number("minHosts", query) is { } hosts ? (int)Math.Clamp(hosts, 0, int.MaxValue) : null);

    private static string? Text(string name, IQueryCollection query) => query[name].ToString() is { Length: > 0 } text ? text : null;

    private static DateTimeOffset? Time(string name, IQueryCollection query) => Text(name, query) is not { } text ? null
        : DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset time) ? time
        : throw ApiException.BadRequest(
            $"{name} '{Branches.ProfileLabels.Printable(text, 40)}' is not a time; give one as 2026-03-01T10:00:00Z");

    private static double? Number(string name, IQueryCollection query) => Text(name, query) is not { } text ? null
        : double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? number
        : throw ApiException.BadRequest($"{name} '{Branches.ProfileLabels.Printable(text, 40)}' is not a number");
}
