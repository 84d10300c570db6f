using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Storage;

namespace Perforator.Server.Demand;

/// <summary>What is kept of an agent.</summary>
/// <param name="Report">How it does.</param>
/// <param name="Services">The services that its host runs, in ordinal order.</param>
internal sealed record AgentFigures(AgentReport Report, IReadOnlyList<string> Services);

/// <summary>
/// What agents say of themselves when they ask what to record. Thousands ask in a minute, so it is written together every few seconds.
/// </summary>
internal sealed class AgentReports : BackgroundService
{
    /// <summary>Services that are kept of a host.</summary>
    public const int MaxServices = 100;

    /// <summary>So long an agent that is not heard of is known.</summary>
    public static readonly TimeSpan Kept = TimeSpan.FromDays(30);

    /// <summary>More hosts than any fleet has; what is said beyond is left out until the next writing.</summary>
    private const int MaxWaiting = 100_000;

    private const int MaxText = 1000;

    private static readonly TimeSpan WriteEvery = TimeSpan.FromSeconds(10);

    private readonly ServerStorage storage;
    private readonly TimeProvider time;
    private readonly ILogger<AgentReports> log;
    private ConcurrentDictionary<string, KeptAgent> waiting = new(StringComparer.Ordinal);

    public AgentReports(ServerStorage storage, TimeProvider time, ILogger<AgentReports> log) =>
        (this.storage, this.time, this.log) = (storage, time, log);

    /// <summary>Takes what an agent says of itself.</summary>
    public void Take(PlanRequest request)
    {
        if (request.Agent is not { Version: not null, Source: not null } report || waiting.Count >= MaxWaiting)
            return;
        AgentFigures figures = new(
            report with
            {
                Version = ProfileLabels.Printable(report.Version, MaxText),
                Source = ProfileLabels.Printable(report.Source, MaxText),
                Notice = report.Notice is null ? null : ProfileLabels.Printable(report.Notice, MaxText),
            },
            [.. request.Services.Select(static service => service.Service).Distinct().Order(StringComparer.Ordinal).Take(MaxServices)]);
        waiting[request.Host] = new KeptAgent(
            request.Host, time.GetUtcNow(), JsonSerializer.Serialize(figures, DemandJson.Default.AgentFigures));
    }

    /// <summary>The agents heard of since a time, with what this server has just heard.</summary>
    /// <exception cref="IOException">The storage is away.</exception>
    public async Task<IReadOnlyList<(string Host, DateTimeOffset Seen, AgentFigures Figures)>> ListAsync(
        DateTimeOffset since, CancellationToken stop)
    {
        await WriteAsync(stop);
        List<(string, DateTimeOffset, AgentFigures)> known = [];
        foreach (KeptAgent agent in await storage.Agents.ListAsync(since, stop))
            if (Read(agent.Report) is { Report: not null, Services: not null } figures)
                known.Add((agent.Host, agent.Seen, figures));
        return known;
    }

    private static AgentFigures? Read(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, DemandJson.Default.AgentFigures);
        }
        catch (JsonException)
        {
            // Of a server of another version; the agent says it again within its interval.
            return null;
        }
    }

    private async Task WriteAsync(CancellationToken stop)
    {
        ConcurrentDictionary<string, KeptAgent> taken = Interlocked.Exchange(ref waiting, new(StringComparer.Ordinal));
        if (taken.IsEmpty)
            return;
        try
        {
            await storage.Agents.PutAsync([.. taken.Values], time.GetUtcNow() - Kept, stop);
        }
        catch (Exception)
        {
            foreach ((string host, KeptAgent agent) in taken)
                waiting.TryAdd(host, agent);
            throw;
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(WriteEvery, time, stoppingToken);
                await WriteAsync(stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
            }
            catch (IOException e)
            {
                log.LogError(e, "what agents say of themselves could not be written; it is tried again");
            }
        }
    }
}
