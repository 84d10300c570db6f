using System.Globalization;
using Perforator.Recording;

namespace Perforator.Cli.Agent;

/// <summary>
/// Holds the agent to its share of the host: measures once a second what this process takes, recorder, aggregation and uploads together, and has
/// the recorder sample more rarely while that is too much. What was not used is saved for up to a minute.
/// </summary>
internal sealed class HostBudget : IAsyncDisposable
{
    /// <summary>CPU share and bytes of memory, unless told otherwise.</summary>
    public const double DefaultCpuShare = 0.01;
    public const long DefaultMemoryBytes = 150_000_000;

    private const double LeastShare = 0.001;

    /// <summary>Decoded code may take this part of the memory.</summary>
    private const int CodePart = 5;

    /// <summary>The runtime's start and the recorder's rehearsal are work of once.</summary>
    private static readonly TimeSpan StartTime = TimeSpan.FromSeconds(10);

    /// <summary>Between two attempts to make room in memory: at first, and at most while they do not help, as each costs CPU time.</summary>
    private static readonly TimeSpan RoomInterval = TimeSpan.FromSeconds(10), LongestRoomInterval = TimeSpan.FromMinutes(10);

    /// <summary>From this part of the memory budget on it runs short.</summary>
    private const double ShortOfMemory = 0.85;

    private static readonly TimeSpan Savings = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource ending = new();
    private readonly double cpuShare;
    private readonly long memoryBytes;
    private readonly Task keeping;
    private double recent;

    public HostBudget(double cpuShare, long memoryBytes)
    {
        this.cpuShare = cpuShare;
        this.memoryBytes = memoryBytes;
        Recording = new RecordingBudget { CpuShare = cpuShare * 0.8, CodeBytes = memoryBytes / CodePart };
        keeping = KeepAsync();
    }

    /// <summary>What may be taken.</summary>
    public HostUse Allowed => new(cpuShare, memoryBytes);

    /// <summary>What is taken: CPU time of the last 15 seconds or so, memory now.</summary>
    public HostUse Taken => new(recent, Environment.WorkingSet);

    /// <summary>What is left for the recorder.</summary>
    public RecordingBudget Recording { get; }

    /// <summary>Asked once memory runs short: has what was counted leave it.</summary>
    public Action? MakeRoom { get; set; }

    /// <summary>How often memory ran short.</summary>
    public int Shortages { get; private set; }

    /// <summary>In one line what is taken, of what may be, and what came of that.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{recent * 100:0.00} % of the host's CPU time of {cpuShare * 100:0.##} %, {Environment.WorkingSet / 1e6:0} MB of {memoryBytes / 1e6:0} MB")
        + (Recording.Share < 1 ? string.Create(CultureInfo.InvariantCulture, $"; to stay within, sampling is {1 / Recording.Share:0.0} times as rare") : "")
        + (Shortages != 0 ? $"; {Shortages} times memory ran short and profiles were made early" : "");

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        await keeping;
        ending.Dispose();
    }

    private async Task KeepAsync()
    {
        try
        {
            await Task.Delay(StartTime, ending.Token);
            TimeSpan cpuTime = Environment.CpuUsage.TotalTime, owed = TimeSpan.Zero;
            long moment = TimeProvider.System.GetTimestamp(), roomMade = 0;
            TimeSpan roomInterval = RoomInterval;
            while (true)
            {
                await Task.Delay(TimeSpan.FromSeconds(1), ending.Token);
                TimeSpan elapsed = TimeProvider.System.GetElapsedTime(moment), used = Environment.CpuUsage.TotalTime - cpuTime;
                (moment, cpuTime) = (TimeProvider.System.GetTimestamp(), cpuTime + used);
                TimeSpan granted = elapsed * Environment.ProcessorCount * cpuShare;
                recent += ((used / (elapsed * Environment.ProcessorCount)) - recent) * Math.Min(1, elapsed / TimeSpan.FromSeconds(15));
                owed += used - granted;
                TimeSpan most = Savings * Environment.ProcessorCount * cpuShare;
                owed = owed < -most ? -most : owed > most ? most : owed;
                // Above what is granted while nothing is saved: less at once; back in small steps.
                Recording.Share = owed > TimeSpan.Zero && used > granted * 0.9 ? Math.Max(LeastShare, Recording.Share * 0.7) : Math.Min(1, Recording.Share * 1.1);
                if (Environment.WorkingSet > memoryBytes * ShortOfMemory && (roomMade == 0 || TimeProvider.System.GetElapsedTime(roomMade) > roomInterval))
                {
                    roomMade = TimeProvider.System.GetTimestamp();
                    Shortages++;
                    MakeRoom?.Invoke();
                    GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                    TimeSpan longer = 2 * roomInterval < LongestRoomInterval ? 2 * roomInterval : LongestRoomInterval;
                    roomInterval = Environment.WorkingSet > memoryBytes * ShortOfMemory ? longer : RoomInterval;
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
