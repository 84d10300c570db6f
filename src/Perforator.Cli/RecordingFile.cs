using System.Runtime.InteropServices;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.PerfData;
using Perforator.PerfScript;

namespace Perforator.Cli;

/// <summary>What <c>record</c> writes.</summary>
internal enum RecordingFormat
{
    /// <summary>A branch profile: counts.</summary>
    Branches,

    /// <summary>A perf.data file with every branch stack.</summary>
    PerfData,

    /// <summary>Every branch stack as text, as perf script prints it.</summary>
    PerfScript,
}

/// <summary>
/// Writes all that a recorder hands over into a file in one of perf's formats and passes it on. The file appears under its name when it is
/// whole.
/// </summary>
internal sealed class RecordingFile : IBranchSink, IDisposable
{
    /// <summary>The end of a file name that asks for perf.data.</summary>
    public const string PerfDataExtension = ".perf.data";

    private readonly string path;
    private readonly string partial;
    private readonly FileStream file;
    private readonly IRecordingWriter writer;
    private readonly IBranchSink next;
    private readonly IModuleResolver modules;

    /// <param name="path">The file to write.</param>
    /// <param name="format">One of perf's.</param>
    /// <param name="next">What else is fed.</param>
    /// <param name="modules">Knows the build ids of mapped files.</param>
    /// <param name="cpuModel">For the header.</param>
    /// <exception cref="UserErrorException">The file cannot be written.</exception>
    public RecordingFile(string path, RecordingFormat format, IBranchSink next, IModuleResolver modules, string cpuModel)
    {
        this.path = path;
        this.next = next;
        this.modules = modules;
        partial = $"{path}.{Environment.ProcessId}.part";
        try
        {
            using (FileStream? stream = WholeFile.OpenStream(path))
                if (stream is not null)
                    throw new UserErrorException($"{path} is no file, which the recording is to appear in when it is whole; name a file");
            file = new FileStream(partial, FileMode.Create, FileAccess.ReadWrite, FileShare.Read, 1 << 20);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path} cannot be written: {e.Message}", e);
        }
        writer = format == RecordingFormat.PerfScript
            ? new PerfScriptWriter(file)
            : new PerfDataWriter(file, RuntimeInformation.OSArchitecture) { HostName = Environment.MachineName, CpuModel = cpuModel };
    }

    /// <inheritdoc/>
    public void OnMapping(Mapping mapping)
    {
        BuildId known = mapping.BuildId.IsEmpty ? modules.Resolve(mapping)?.BuildId ?? default : mapping.BuildId;
        writer.OnMapping(mapping with { BuildId = known });
        next.OnMapping(mapping);
    }

    /// <inheritdoc/>
    public void OnFork(int processId, int parentProcessId)
    {
        writer.OnFork(processId, parentProcessId);
        next.OnFork(processId, parentProcessId);
    }

    /// <inheritdoc/>
    public void OnExec(int processId)
    {
        writer.OnExec(processId);
        next.OnExec(processId);
    }

    /// <inheritdoc/>
    public void OnExit(int processId)
    {
        writer.OnExit(processId);
        next.OnExit(processId);
    }

    /// <inheritdoc/>
    public void OnSample(in BranchSample sample)
    {
        writer.OnSample(sample);
        next.OnSample(sample);
    }

    /// <inheritdoc/>
    public void OnLost(string reason, ulong count) => next.OnLost(reason, count);

    /// <summary>What could not be written, by reason.</summary>
    public LossCounts Losses => writer.Losses;

    /// <summary>Ends the file and gives it its name.</summary>
    public void Complete()
    {
        writer.Complete();
        file.Flush(flushToDisk: true);
        File.Move(partial, path, overwrite: true);
    }

    public void Dispose()
    {
        writer.Dispose();
        file.Dispose();
        File.Delete(partial);
    }
}
