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

    /// <summary>
    /// The share of a process's samples that are to be taken, from 0 to 1; null where nothing is known of the process. Samples are left out
    /// at random, so what is taken has the proportions of all, and each counts as it would without. Of a process with 0 not one is taken.
    /// </summary>
    double? ShareOf(int processId) => 1;

    /// <summary>
    /// The highest share of all processes, so that a recorder whose samples cost something before it is known whose they are takes no more.
    /// </summary>
    double HighestShare => 1;

    /// <summary>
    /// Whether a process that runs is wanted: asked, from the same thread, by recorders that learn of a process from its running, once of
    /// each program that it executes.
    /// </summary>
    /// <param name="processId">Its id.</param>
    /// <param name="isChildOfWanted">It was forked by a process that was wanted, whoever may be its parent by now.</param>
    bool Wants(int processId, bool isChildOfWanted);
}
