namespace Perforator.Branches;

/// <summary>Writes all that a recorder hands over into a file of some format.</summary>
public interface IRecordingWriter : IBranchSink, IDisposable
{
    /// <summary>What could not be written, by reason, with what the recorder itself lost.</summary>
    LossCounts Losses { get; }

    /// <summary>Ends the file; nothing can be added any more.</summary>
    void Complete();
}
