using System.Diagnostics;
using System.Text;

namespace Perforator.Tests.Infrastructure;

/// <summary>A program that runs beside a test; killed at the latest when disposed.</summary>
internal sealed class BackgroundProgram : IDisposable
{
    private readonly Process process;
    private readonly StringBuilder output = new();

    private BackgroundProgram(Process process) => this.process = process;

    /// <summary>The process id.</summary>
    public int Id => process.Id;

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => process.HasExited;

    /// <summary>What it wrote so far, on both outputs.</summary>
    public string Output
    {
        get
        {
            lock (output)
                return output.ToString();
        }
    }

    public static BackgroundProgram Start(string program, params string[] arguments)
    {
        BackgroundProgram started = new(new Process
        {
            StartInfo = new(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true },
        });
        started.process.OutputDataReceived += started.OnLine;
        started.process.ErrorDataReceived += started.OnLine;
        started.process.Start();
        started.process.BeginOutputReadLine();
        started.process.BeginErrorReadLine();
        return started;
    }

    /// <summary>SIGTERM; returns the exit code.</summary>
    public int Terminate()
    {
        Tool.Run("/bin/kill", ["-TERM", $"{process.Id}"]).Succeeded();
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(30)), $"{process.StartInfo.FileName} did not end within 30 s of SIGTERM");
        return process.ExitCode;
    }

    public void Dispose()
    {
        if (!process.HasExited)
            process.Kill();
        process.Dispose();
    }

    private void OnLine(object sender, DataReceivedEventArgs e)
    {
        lock (output)
            output.AppendLine(e.Data);
    }
}
