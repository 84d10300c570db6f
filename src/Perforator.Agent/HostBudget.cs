using System.Globalization;
using Perforator.Recording;

namespace Perforator.Agent;

/// <summary>
/// Holds the agent to its share of the host: measures once a second what this process takes, recorder, aggregation and uploads together,
/// and has the recorder sample more rarely while that is too much. What was not used is saved for up to a minute.
/// </summary>
public sealed class HostBudget : IAsyncDisposable
{
    /// <summary>CPU share and bytes of memory, unless told otherwise.</summary>
    public const double DefaultCpuShare = 0.01;
    public const long DefaultMemoryBytes = 150_000_000;

    internal const double LeastShare = 0.001;

    /// <summary>Decoded code may take this part of the memory.</summary>
    private const int CodePart = 5;

    private static readonly TimeSpan Step = TimeSpan.FromSeconds(1);

    /// <summary>The runtime's start and the recorder's rehearsal are work of once: so many steps of CPU time are not counted.</summary>
    private const int StepsOfStart = 3;

    /// <summary>
    /// Where sampling begins: all code is new then, and decoding it costs several times what a later sample does. What is taken in excess
    /// would have to be paid back for minutes.
    /// </summary>
    internal const double FirstShare = 0.25;

    /// <summary>
    /// Between two attempts to make room in memory: at first, and at most while they do not help, as each costs CPU time.
    /// </summary>
    internal static readonly TimeSpan RoomInterval = TimeSpan.FromSeconds(10), LongestRoomInterval = TimeSpan.FromMinutes(10);

    /// <summary>From this part of the memory budget on it runs short.</summary>
    internal const double ShortOfMemory = 0.85;

    internal static readonly TimeSpan Savings = TimeSpan.FromMinutes(1);

    private readonly CancellationTokenSource ending = new();
    private readonly double cpuShare;
    private readonly long memoryBytes;
    private readonly OwnUse own;
    private readonly TimeProvider time;
    private readonly Task keeping;
    private TimeSpan cpuTime, owed;
    private TimeSpan roomInterval = RoomInterval;
    private long moment;
    private int steps;
    private long? roomMade;
    private double recent;

    /// <summary>Begins to hold this process to what it may take.</summary>
    /// <param name="cpuShare">A share of all CPUs' time.</param>
    /// <param name="memoryBytes">Resident memory.</param>
    public HostBudget(double cpuShare, long memoryBytes)
        : this(cpuShare, memoryBytes, OwnUse.OfThisProcess, TimeProvider.System) => keeping = KeepAsync();

    /// <summary>One that accounts when it is told to.</summary>
    internal HostBudget(double cpuShare, long memoryBytes, OwnUse own, TimeProvider time)
    {
        this.cpuShare = cpuShare;
        this.memoryBytes = memoryBytes;
        this.own = own;
        this.time = time;
        keeping = Task.CompletedTask;
        Recording = new RecordingBudget { CpuShare = cpuShare * 0.8, CodeBytes = memoryBytes / CodePart, Share = FirstShare };
        (moment, cpuTime) = (time.GetTimestamp(), own.CpuTime());
    }

    /// <summary>What may be taken.</summary>
    public HostUse Allowed => new(cpuShare, memoryBytes);

    /// <summary>What is taken: CPU time of the last 15 seconds or so, memory now.</summary>
    public HostUse Taken => new(Volatile.Read(ref recent), own.MemoryBytes());

    /// <summary>What is left for the recorder.</summary>
    public RecordingBudget Recording { get; }

    /// <summary>Asked once memory runs short that is not garbage: has what was counted leave it.</summary>
    public Action? MakeRoom { get; set; }

    /// <summary>How often memory ran short, and <see cref="MakeRoom"/> was asked.</summary>
    public int Shortages { get; private set; }

    /// <summary>In one line what is taken, of what may be, and what came of that.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Taken.CpuShare * 100:0.00} % of the host's CPU time of {cpuShare * 100:0.##} %, {Taken.MemoryBytes / 1e6:0} MB of {memoryBytes / 1e6:0} MB")
        + (Recording.Share < 1
            ? string.Create(CultureInfo.InvariantCulture, $"; to stay within, sampling is {1 / Recording.Share:0.0} times as rare") : "")
        + (Shortages != 0 ? $"; {Shortages} times memory ran short and profiles were made early" : "");

    public async ValueTask DisposeAsync()
    {
        await ending.CancelAsync();
        await keeping;
        ending.Dispose();
    }

    /// <summary>Takes in what was used since the last call, about a second ago.</summary>
    internal void Account()
    {
        TimeSpan elapsed = time.GetElapsedTime(moment), all = elapsed * own.Cpus, used = own.CpuTime() - cpuTime;
        if (all <= TimeSpan.Zero)
            return;
        (moment, cpuTime) = (time.GetTimestamp(), cpuTime + used);
        if (steps++ < StepsOfStart)
            return;
        TimeSpan granted = all * cpuShare, most = Savings * own.Cpus * cpuShare;
        Volatile.Write(ref recent, recent + (((used / all) - recent) * Math.Min(1, elapsed / TimeSpan.FromSeconds(15))));
        owed += used - granted;
        owed = owed < -most ? -most : owed > most ? most : owed;
        // Above what is granted while nothing is saved: less at once; back in small steps.
        Recording.Share = owed > TimeSpan.Zero && used > granted * 0.9
            ? Math.Max(LeastShare, Recording.Share * 0.7) : Math.Min(1, Recording.Share * 1.1);
    }

    /// <summary>Collects garbage where memory runs short, and has room made where that is not enough.</summary>
    internal void WatchMemory()
    {
        if (!IsShortOfMemory || (roomMade is { } made && time.GetElapsedTime(made) < roomInterval))
            return;
        roomMade = time.GetTimestamp();
        // Mostly it is garbage that nothing has asked the runtime to collect yet.
        own.Collect();
        if (IsShortOfMemory)
        {
            Shortages++;
            MakeRoom?.Invoke();
        }
        TimeSpan longer = 2 * roomInterval < LongestRoomInterval ? 2 * roomInterval : LongestRoomInterval;
        roomInterval = IsShortOfMemory ? longer : RoomInterval;
    }

    private bool IsShortOfMemory => own.MemoryBytes() > memoryBytes * ShortOfMemory;

    private async Task KeepAsync()
    {
        try
        {
            while (true)
            {
                await Task.Delay(Step, ending.Token);
                WatchMemory();
                Account();
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}
