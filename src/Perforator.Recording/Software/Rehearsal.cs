using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Has the .NET runtime compile and link all that lies on the way from a moment to a sample before the first target is stopped, and not
/// while a thread stands still, and takes some samples of a child made for that.
/// </summary>
internal static class Rehearsal
{
    /// <summary>It ends by itself, within a second, even when this process is killed.</summary>
    private const string ChildProgram = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";

    private const int ChildSamples = 40;
    private static readonly TimeSpan ChildLimit = TimeSpan.FromMilliseconds(150);

    /// <summary>To be called on an OS thread that ends afterwards.</summary>
    public static void Run(SoftwareRecorderOptions options)
    {
        Prepare();
        using Sampler sampler = new(options, new Audience(), 1);
        sampler.Enter();
        SampleChild(sampler);
        sampler.Leave();
    }

    private static void SampleChild(Sampler sampler)
    {
        LaunchedProcess child;
        try
        {
            child = LaunchedProcess.Start([LaunchedProcess.Shell, "-c", ChildProgram]);
        }
        catch (UserErrorException)
        {
            // No shell here: the first samples will take longer.
            return;
        }
        try
        {
            using TargetProcess process = new(new ProcessIdentity(child.Id, 0), isOurChild: true, sampler.Follower.Translator);
            long begin = Stopwatch.GetTimestamp();
            for (int i = 0; i < ChildSamples && !sampler.HoldsSleeper && Stopwatch.GetElapsedTime(begin) < ChildLimit; i++)
            {
                _ = process.ReportMappings(new Audience());
                _ = sampler.Take(new Moment(child.Id, child.Id, -1, 1, 1), process, out _);
                for (int block = 0; block < 20 && process.Code.HasUnexplored; block++)
                    process.Code.Explore();
            }
        }
        finally
        {
            child.Signal(SIGKILL);
            _ = child.WaitForExit(TimeSpan.FromSeconds(1));
        }
    }

    /// <summary>Has every method compiled that is not generic, also those on the way to the interpreter.</summary>
    private static void Prepare()
    {
        const BindingFlags All =
            BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        foreach (Type type in (Type[])[typeof(Sampler), typeof(PathFollower), typeof(TracedThread), typeof(StopGuard), typeof(QuietSignal),
            typeof(Estimator), typeof(Pacer), typeof(CpuClock), typeof(ProcessTable), typeof(TargetProcess),
            typeof(TargetMemory), typeof(MemorySnapshot), typeof(BlockCache), typeof(Cpu), typeof(ExtendedState), typeof(Handlers),
            typeof(BranchOps), typeof(StringOps), typeof(GatherOps), typeof(RareOps),
            typeof(NativeInstruction), typeof(Translator), typeof(CodeBuilder), typeof(ExecutableMemory)])
        {
            foreach (MethodBase method in type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)))
                if (!method.IsAbstract && !method.ContainsGenericParameters)
                    RuntimeHelpers.PrepareMethod(method.MethodHandle);
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
