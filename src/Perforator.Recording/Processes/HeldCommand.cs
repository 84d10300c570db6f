namespace Perforator.Recording.Processes;

/// <summary>
/// A command that waits to be recorded from its very beginning: a shell that has stopped itself and becomes the command when it is
/// released. The process id stays the same.
/// </summary>
public sealed class HeldCommand
{
    private const string Script = "kill -STOP $$; exec \"$@\"";

    private HeldCommand(LaunchedProcess process) => Process = process;

    /// <summary>The process.</summary>
    public LaunchedProcess Process { get; }

    /// <summary>Starts the shell and returns once it has stopped.</summary>
    /// <param name="command">Program, looked up in PATH unless it has a slash, and arguments.</param>
    /// <exception cref="UserErrorException">There is no such program, it is not executable, or nothing can be started at all.</exception>
    public static HeldCommand Start(IReadOnlyList<string> command)
    {
        string program = Locate(command[0]);
        if (!File.Exists(LaunchedProcess.Shell))
            throw new UserErrorException(
                $"cannot record {program} from its start: there is no {LaunchedProcess.Shell} here, which holds it until it is recorded; "
                + "start it otherwise and record it with --pid");
        LaunchedProcess process = LaunchedProcess.Start([LaunchedProcess.Shell, "-c", Script, "sh", program, .. command.Skip(1)]);
        for (int i = 0; i < 5000 && process.ExitCode is null && ProcessIdentity.StateOf(process.Id) is not ('T' or 't'); i++)
            Thread.Sleep(1);
        return new HeldCommand(process);
    }

    /// <summary>Whether the process is the command by now, and no longer the shell.</summary>
    public bool HasBegun =>
        Machine.ReadLine($"/proc/{Process.Id}/cmdline")
            ?.StartsWith($"{LaunchedProcess.Shell}\0-c\0{Script}\0", StringComparison.Ordinal) != true;

    /// <summary>Lets the command begin.</summary>
    public void Release() => Process.Signal(Syscalls.SIGCONT);

    /// <summary>Ends the process before the command has begun.</summary>
    public void Abandon()
    {
        Process.Signal(Syscalls.SIGKILL);
        _ = Process.WaitForExit(TimeSpan.FromSeconds(5));
    }

    private static string Locate(string program)
    {
        if (program.Contains('/'))
            return IsExecutable(program) ? program
                : throw new UserErrorException(
                    $"cannot run {program}: {(Directory.Exists(program) ? "it is a folder" : File.Exists(program) ? "it is not executable" : "there is no such file")}");
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(
            ':', StringSplitOptions.RemoveEmptyEntries))
            if (IsExecutable(Path.Combine(folder, program)))
                return Path.Combine(folder, program);
        throw new UserErrorException($"cannot run {program}: no such program on PATH; give its path, as in ./{program}");
    }

    private static bool IsExecutable(string path) =>
        File.Exists(path)
            && (new FileInfo(path).UnixFileMode & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0;
}
