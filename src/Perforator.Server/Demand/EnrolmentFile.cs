using System.Runtime.InteropServices;
using Microsoft.Extensions.Hosting;

namespace Perforator.Server.Demand;

/// <summary>
/// The file of <c>serve --enrol</c>, read again when it changes and at SIGHUP. While it makes no sense, what it said before holds.
/// </summary>
internal sealed class EnrolmentFile : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly string? path;
    private Enrolment current;
    private FileVersion seen;

    /// <exception cref="UserErrorException">The file cannot be used.</exception>
    public EnrolmentFile(string? path)
    {
        this.path = path;
        if (path is not null)
            seen = FileVersion.Of(path);
        current = path is null ? Enrolment.Default : Enrolment.Load(path);
    }

    /// <summary>What holds now.</summary>
    public Enrolment Current => Volatile.Read(ref current);

    /// <summary>Reads the file again; where it makes no sense, says so and keeps what it said before.</summary>
    public void Reload()
    {
        if (path is null)
            return;
        try
        {
            Volatile.Write(ref current, Enrolment.Load(path));
            Console.Error.WriteLine($"perforator: {path} (--enrol) was read again");
        }
        catch (UserErrorException e)
        {
            Console.Error.WriteLine($"perforator: {e.Message}; what it said before goes on to hold");
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (path is null)
            return;
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            Reload();
        });
        while (true)
        {
            try
            {
                await Task.Delay(Interval, stoppingToken);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            FileVersion now = FileVersion.Of(path);
            if (now == seen)
                continue;
            seen = now;
            Reload();
        }
    }
}
