using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Processes;
using static Perforator.Recording.Syscalls;

namespace Perforator.Recording.Software;

/// <summary>
/// Has the .NET runtime compile and link all that lies on the way from a moment to a sample before the first target is stopped, and not
/// while a thread stands still: calls of this process's own libc are interpreted, which changes nothing, and some samples of a child made
/// for that are taken.
/// </summary>
internal static unsafe class Rehearsal
{
    private const int BufferSize = 1 << 16;
    private static readonly TimeSpan Limit = TimeSpan.FromMilliseconds(400);

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
        CallLibrary(sampler.Follower.Cpu, sampler.Follower.Translator);
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

    private static void CallLibrary(Cpu cpu, Translator translator)
    {
        if (!NativeLibrary.TryLoad("libc.so.6", out nint libc))
            return;
        byte* buffer = (byte*)NativeMemory.AllocZeroed(BufferSize);
        using BlockCache code = new(Environment.ProcessId, translator);
        try
        {
            code.SetMappings(ProcessMap.Load(Environment.ProcessId));
            "%d %s %.17g %lx and some text to search"u8.CopyTo(new Span<byte>(buffer, BufferSize));
            "text 1234.5678e9"u8.CopyTo(new Span<byte>(buffer + 256, 256));
            ulong text = (ulong)buffer, other = (ulong)(buffer + 256), number = (ulong)(buffer + 261), output = (ulong)(buffer + 512);
            ulong stack = (ulong)(buffer + BufferSize - 256);
            long begin = Stopwatch.GetTimestamp();
            // Thirty calls make a method worth optimising to the runtime.
            for (int i = 0; i < 40 && Stopwatch.GetElapsedTime(begin) < Limit; i++)
            {
                Call(cpu, code, libc, "snprintf", stack, output, 200, text, 12345, other, 0xABCDEF);
                Call(cpu, code, libc, "strtod", stack, number, 0);
                Call(cpu, code, libc, "strstr", stack, text, other);
                Call(cpu, code, libc, "strtol", stack, number, 0, 10);
                Call(cpu, code, libc, "memmove", stack, output, text, (ulong)(17 * i));
                Call(cpu, code, libc, "div", stack, 1234567, 89);
            }
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
    }

    /// <summary>Has every method compiled that is not generic, also those on the way to the interpreter.</summary>
    private static void Prepare()
    {
        const BindingFlags All =
            BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        foreach (Type type in (Type[])[typeof(Sampler), typeof(PathFollower), typeof(TracedThread), typeof(StopGuard), typeof(QuietSignal),
            typeof(Estimator), typeof(Pacer), typeof(CpuClock), typeof(ProcessTable), typeof(TargetProcess),
            typeof(TargetMemory), typeof(MemorySnapshot), typeof(BlockCache), typeof(Cpu), typeof(ExtendedState), typeof(Lowering),
            typeof(NativeInstruction), typeof(Translator), typeof(CodeBuilder), typeof(ExecutableMemory)])
        {
            foreach (MethodBase method in type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)))
                if (!method.IsAbstract && !method.ContainsGenericParameters)
                    RuntimeHelpers.PrepareMethod(method.MethodHandle);
        }
    }

    /// <summary>Interprets one call; it ends where the return address, 0, has no code.</summary>
    private static void Call(Cpu cpu, BlockCache code, nint library, string name, ulong stack, params ReadOnlySpan<ulong> arguments)
    {
        if (!NativeLibrary.TryGetExport(library, name, out nint function))
            return;
        UserRegisters registers = new()
        {
            Rip = (ulong)function,
            Rsp = stack - 8,
            Rdi = arguments[0],
            Rsi = arguments[1],
            Rdx = arguments.Length > 2 ? arguments[2] : 0,
            Rcx = arguments.Length > 3 ? arguments[3] : 0,
            R8 = arguments.Length > 4 ? arguments[4] : 0,
            R9 = arguments.Length > 5 ? arguments[5] : 0,
            FsBase = ThreadPointer(),
        };
        cpu.Load(registers);
        cpu.Memory.Begin(Environment.ProcessId, code.KernelPages);
        cpu.Begin(new BranchEntry[4096], 0);
        cpu.Run(code, 4096, 20_000, long.MaxValue);
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
