using System.Diagnostics;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Perforator.Server.Http;
using Perforator.Server.Storage;
using Perforator.Server.Telemetry;

namespace Perforator.Server.Results;

/// <summary>
/// Does generation tasks, one after the other: each takes a core and the memory of a linker. A task that is under way when the server is
/// told to end goes back, for another server or the next start.
/// </summary>
internal sealed class GenerationWorker : BackgroundService
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    /// <summary>How often tasks are looked for that another server was asked for, or left behind.</summary>
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly PgoResults results;
    private readonly ITaskQueue tasks;
    private readonly ILogger<GenerationWorker> log;
    private readonly string name = Guid.NewGuid().ToString("N");

    public GenerationWorker(PgoResults results, ServerStorage storage, ILogger<GenerationWorker> log)
    {
        this.results = results;
        tasks = storage.Tasks;
        this.log = log;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (await tasks.LeaseAsync(name, Lease, stoppingToken) is { } task)
                    await DoAsync(task, stoppingToken);
                else
                    await results.Ordered.WaitAsync(Interval, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
            }
            catch (Exception e)
            {
                // The database is away, say: it may be back.
                log.LogError(e, "a generation task could not be done");
                await Task.Delay(Interval, CancellationToken.None);
            }
        }
    }

    private async Task DoAsync(ServerTask task, CancellationToken stop)
    {
        GenerationOrder order = JsonSerializer.Deserialize(task.Payload, TaskJson.Default.GenerationOrder)!;
        using Activity? activity =
            ServerMetrics.Activities.StartActivity("generate", ActivityKind.Consumer, Observability.ParentOf(order.TraceParent));
        activity?.SetTag("perforator.service", order.Service);
        long start = Stopwatch.GetTimestamp();
        using CancellationTokenSource lost = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task renewing = RenewAsync(task, lost);
        bool failed = true;
        string outcome;
        try
        {
            outcome = await results.GenerateAsync(order, lost.Token);
            failed = false;
        }
        catch (OperationCanceledException) when (lost.IsCancellationRequested)
        {
            ServerMetrics.Generated("returned", Stopwatch.GetElapsedTime(start));
            await tasks.ReturnAsync(task.Id, name, CancellationToken.None);
            return;
        }
        catch (ApiException e)
        {
            outcome = JsonSerializer.Serialize(new GenerationFailure(e.Status, e.Message), TaskJson.Default.GenerationFailure);
        }
        catch (Exception e)
        {
            log.LogError(e, "generating {Task} failed", task.Payload);
            GenerationFailure failure = e is IOException
                ? new(StatusCodes.Status503ServiceUnavailable, $"the server cannot store or read its data: {e.Message}")
                : new(StatusCodes.Status500InternalServerError, "the server failed at this profile; its log on stderr says why");
            outcome = JsonSerializer.Serialize(failure, TaskJson.Default.GenerationFailure);
        }
        finally
        {
            await lost.CancelAsync();
            await renewing;
        }
        ServerMetrics.Generated(failed ? "failed" : "done", Stopwatch.GetElapsedTime(start));
        if (failed)
            activity?.SetStatus(ActivityStatusCode.Error, outcome);
        await tasks.EndAsync(task.Id, name, failed, outcome, CancellationToken.None);
        results.Ended(task.Id);
    }

    /// <summary>Holds on to a task for as long as it is done; gives it up when another has it.</summary>
    private async Task RenewAsync(ServerTask task, CancellationTokenSource lost)
    {
        try
        {
            while (true)
            {
                await Task.Delay(Lease / 3, lost.Token);
                if (!await tasks.RenewAsync(task.Id, name, Lease, lost.Token))
                    await lost.CancelAsync();
            }
        }
        catch (OperationCanceledException)
        {
        }
        catch (IOException)
        {
            await lost.CancelAsync();
        }
    }
}
