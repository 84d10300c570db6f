using System.Diagnostics;
using Perforator.Branches;
using Perforator.Recording.Processes;

namespace Perforator.Recording.Software;

/// <summary>
/// Takes some samples of a child made for that, before the first target is stopped, so that the .NET runtime compiles and links all that lies on
/// the way from a stop to a sample while nobody waits for it.
/// </summary>
internal static class DressRehearsal
{
    /// <summary>It ends by itself, within a second, even when this process is killed.</summary>
    private const string Program = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

    private const int Samples = 40;
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(150);

    public static void Run(SoftwareRecorderOptions options)
    {
        LaunchedProcess child;
        try
        {
            child = LaunchedProcess.Start(["/bin/sh", "-c", Program]);
        }
        catch (UserErrorException)
        {
            // No shell here: the first samples will take longer.
            return;
        }
        try
        {
            using Placement placement = new();
            using BurstRunner runner = new(options, placement);
            using TargetProcess process = new(child.Id, runner.Lowering);
            Audience audience = new();
            long begin = Stopwatch.GetTimestamp();
            for (int i = 0; i < Samples && Stopwatch.GetElapsedTime(begin) < Limit && process.RefreshThreads(); i++)
            {
                process.ReportMappings(audience);
                foreach (TargetThread thread in process.Threads)
                    runner.Begin(thread, audience);
                for (int block = 0; block < 20 && process.Code.HasUnexplored; block++)
                    process.Code.Explore();
                runner.Poll(audience);
            }
        }
        finally
        {
            child.Signal(Syscalls.SIGKILL);
            _ = child.WaitForExit(TimeSpan.FromSeconds(1));
        }
    }

    /// <summary>Nobody looks.</summary>
    private sealed class Audience : IBranchSink
    {
        public void OnMapping(Mapping mapping)
        {
        }

        public void OnFork(int processId, int parentProcessId)
        {
        }

        public void OnExec(int processId)
        {
        }

        public void OnExit(int processId)
        {
        }

        public void OnSample(in BranchSample sample)
        {
        }

        public void OnLost(string reason, ulong count)
        {
        }
    }
}
