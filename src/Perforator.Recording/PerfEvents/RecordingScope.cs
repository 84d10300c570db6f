namespace Perforator.Recording.PerfEvents;

/// <summary>Whom the events of a recording count.</summary>
internal enum RecordingScope
{
    /// <summary>Everybody: one event for each CPU; who is not wanted is left out when it is read.</summary>
    AllProcesses,

    /// <summary>Control groups: an event for each and CPU, so that nobody else is ever interrupted.</summary>
    ControlGroups,

    /// <summary>Processes, where only the own user's may be seen: an event for each thread and CPU, inherited by what they start.</summary>
    Threads,
}
