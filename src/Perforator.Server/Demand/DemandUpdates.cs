using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Perforator.Server.Demand;

/// <summary>Keeps a server's plans up to date, and its file of services. Every server that answers hosts does so.</summary>
internal sealed class DemandUpdates : BackgroundService
{
    private static readonly TimeSpan ForgetEvery = TimeSpan.FromHours(1);

    private readonly Planner planner;
    private readonly TimeProvider time;
    private readonly ILogger<DemandUpdates> log;

    public DemandUpdates(Planner planner, TimeProvider time, ILogger<DemandUpdates> log)
    {
        this.planner = planner;
        this.time = time;
        this.log = log;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        DateTimeOffset forgotten = time.GetUtcNow();
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await planner.UpdateAsync(stoppingToken);
                if (time.GetUtcNow() - forgotten > ForgetEvery)
                {
                    forgotten = time.GetUtcNow();
                    await planner.ForgetAsync(stoppingToken);
                }
                await Task.Delay(planner.Rules.Update, time, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
            }
            catch (Exception e)
            {
                log.LogError(e, "plans could not be brought up to date; it is tried again");
                await Task.Delay(TimeSpan.FromSeconds(1), CancellationToken.None);
            }
        }
        try
        {
            // What came in since is not lost by a restart.
            await planner.UpdateAsync(CancellationToken.None, isLast: true);
        }
        catch (IOException)
        {
        }
    }
}
