using Perforator.Bytes;
using Perforator.Inputs;

namespace Perforator.Cli;

/// <summary>Reads recordings that the command line names.</summary>
internal static class Recordings
{
    /// <summary>Reads a file, pipe or standard input to its end; of a pipe, Ctrl-C ends what is sent rather than the reading.</summary>
    /// <param name="path">The file or pipe; "-" is standard input.</param>
    /// <param name="binaries">The binaries of interest.</param>
    /// <param name="otherwise">What it is taken for when its content does not tell; null to refuse it then.</param>
    /// <param name="options">What of it counts.</param>
    /// <exception cref="UserErrorException">Unreadable, of no known kind, or without branches in a binary of interest.</exception>
    public static RecordedInput Read(string path, RecordedBinaries binaries, InputKind? otherwise = null, InputOptions? options = null)
    {
        using FileStream file = RecordedInput.Open(path);
        using PipeInterrupt? interrupt = PipeInterrupt.While(file);
        return RecordedInput.Read(file, InputFile.NameOf(path), binaries, otherwise, options);
    }
}
