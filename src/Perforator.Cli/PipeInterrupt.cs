using System.Runtime.InteropServices;

namespace Perforator.Cli;

/// <summary>
/// While a pipe is read, the first Ctrl-C is for the program that writes it: <c>perf record -o -</c> then sends what it has and ends, and
/// so does the reading. The second one ends the reader.
/// </summary>
internal sealed class PipeInterrupt : IDisposable
{
    private readonly PosixSignalRegistration registration;
    private int signals;

    private PipeInterrupt() => registration = PosixSignalRegistration.Create(PosixSignal.SIGINT, context =>
    {
        // Signals are handled side by side: the second may come while the first is still being answered.
        context.Cancel = Interlocked.Increment(ref signals) == 1;
        if (context.Cancel)
            Console.Error.WriteLine("perforator: reading the pipe to its end; Ctrl-C again gives up");
    });

    /// <summary>Holds while a stream is read, if it is a pipe; null for files.</summary>
    public static PipeInterrupt? While(Stream stream) => stream.CanSeek ? null : new();

    public void Dispose() => registration.Dispose();
}
