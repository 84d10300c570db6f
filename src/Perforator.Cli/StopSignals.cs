using System.Runtime.InteropServices;

namespace Perforator.Cli;

/// <summary>
/// SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGQUIT as a token, from construction on, for verbs that must let go of the processes they record
/// before they end. They end by themselves within a bounded time, so no signal ends them at once.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private static readonly PosixSignal[] Signals = [PosixSignal.SIGTERM, PosixSignal.SIGINT, PosixSignal.SIGHUP, PosixSignal.SIGQUIT];

    private readonly CancellationTokenSource source = new();
    private readonly PosixSignalRegistration[] registrations;

    /// <param name="hangUp">What SIGHUP means instead; null where it stops too.</param>
    public StopSignals(Action? hangUp = null) => registrations = [.. Signals.Select(signal => PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        if (signal == PosixSignal.SIGHUP && hangUp is not null)
            hangUp();
        else
            source.Cancel();
    }))];

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in registrations)
            registration.Dispose();
        source.Dispose();
    }
}
