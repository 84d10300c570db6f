using System.Globalization;
using Perforator.Recording;
using Perforator.Recording.Processes;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording.Software;

/// <summary>
/// A program being recorded: started by the test, and ended with it. Its input stays open until <see cref="CloseInput"/>.
/// </summary>
internal sealed class Target : IRecordingTargets, IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly LaunchedProcess process;
    private readonly FileStream input;

    public Target(string program, params string[] arguments)
    {
        Tool.Run("mkfifo", [folder["input"]]).Succeeded();
        process = LaunchedProcess.Start(["sh", "-c", "exec \"$@\" <\"$0/input\" >\"$0/output\" 2>&1", folder.Path, program, .. arguments]);
        input = File.OpenWrite(folder["input"]);
        // The shell opens the input before it becomes the program.
        for (int i = 0; i < 1000 && new FileInfo($"/proc/{Id}/exe").LinkTarget != program; i++)
            Thread.Sleep(1);
    }

    public int Id => process.Id;

    /// <summary>Null once the program has ended.</summary>
    public IReadOnlySet<int>? Refresh() => process.ExitCode is null ? new HashSet<int> { Id } : null;

    public bool Wants(int processId, bool isChildOfWanted) => isChildOfWanted || processId == Id;

    /// <summary>Ends the program's input, the signal for it to finish.</summary>
    public void CloseInput() => input.Close();

    /// <summary>What the program wrote, once it has ended by itself with exit code 0.</summary>
    public string Finish(int seconds = 60)
    {
        CloseInput();
        if (process.WaitForExit(TimeSpan.FromSeconds(seconds)) is null)
            Assert.Fail($"{process.Id} still runs after {seconds} s, state {State()}");
        string text = File.ReadAllText(folder["output"]);
        Assert.True(process.ExitCode == 0, $"exit code {process.ExitCode}: {text}");
        return text;
    }

    public void Signal(int signal) => process.Signal(signal);

    /// <summary>The thread state letter of proc_pid_stat(5).</summary>
    public char State() => File.ReadAllText($"/proc/{Id}/stat").Split(") ")[^1][0];

    /// <summary>The process that traces it, 0 when none does.</summary>
    public int TracerPid() => int.Parse(
        File.ReadLines($"/proc/{Id}/status").First(line => line.StartsWith("TracerPid:", StringComparison.Ordinal)).Split('\t')[1],
        CultureInfo.InvariantCulture);

    public void Dispose()
    {
        input.Dispose();
        process.Signal(Syscalls.SIGKILL);
        process.WaitForExit(TimeSpan.FromSeconds(10));
        folder.Dispose();
    }
}
