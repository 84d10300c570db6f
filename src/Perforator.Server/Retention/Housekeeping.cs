using System.Diagnostics;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Perforator.Server.Telemetry;

namespace Perforator.Server.Retention;

/// <summary>
/// Builds blocks every minute, unless told otherwise, and collects after each sixtieth time. Any number of servers may do so at once.
/// </summary>
internal sealed class Housekeeping : BackgroundService
{
    private const int CollectEvery = 60;

    private readonly BlockBuilder blocks;
    private readonly Collector collector;
    private readonly TimeProvider time;
    private readonly TimeSpan interval;
    private readonly ILogger<Housekeeping> log;

    public Housekeeping(BlockBuilder blocks, Collector collector, ServerSettings settings, TimeProvider time, ILogger<Housekeeping> log)
    {
        this.blocks = blocks;
        this.collector = collector;
        this.time = time;
        interval = settings.CompactEvery;
        this.log = log;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (int round = 1; ; round++)
        {
            try
            {
                await Task.Delay(interval, time, stoppingToken);
                while (await blocks.RunAsync(stoppingToken) > 0)
                {
                }
                ServerMetrics.CompactionEnded(time.GetUtcNow());
                if (round % CollectEvery != 1)
                    continue;
                using (Activity? activity = ServerMetrics.Activities.StartActivity("collect"))
                    await collector.RunAsync(stoppingToken);
                ServerMetrics.CollectionEnded(time.GetUtcNow());
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                log.LogError(e, "adding up or collecting failed; it is tried again");
            }
        }
    }
}
