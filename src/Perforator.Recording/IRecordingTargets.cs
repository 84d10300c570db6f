namespace Perforator.Recording;

/// <summary>The processes a recorder watches, as they come and go. Every <see cref="IBranchRecorder"/> is made with one.</summary>
public interface IRecordingTargets
{
    /// <summary>
    /// The ids of the wanted processes that run now; null once all have ended and no more can come. Looks into /proc, so recorders
    /// ask about once a second and from one thread. An id may have ended by the time it is used.
    /// </summary>
    IReadOnlySet<int>? Refresh();

    /// <summary>Whether services were named, so that others need not be interrupted where that can be had.</summary>
    bool IsSelective => false;
}
