using Perforator.Recording.Interpreter;

namespace Perforator.Recording.Software;

/// <summary>What was followed from one moment.</summary>
/// <param name="Branches">Taken branches.</param>
/// <param name="Instructions">Instructions.</param>
/// <param name="Misses">How often a page was touched that is not among the last 256.</param>
/// <param name="ColdPages">Pages touched that none of the process's latest paths has touched.</param>
/// <param name="AnnouncedPages">Pages touched that the program had announced by PREFETCH; they are none of the others.</param>
/// <param name="End">What ended it.</param>
internal readonly record struct FollowedPath(
    int Branches, long Instructions, int Misses, int ColdPages, int AnnouncedPages, StopReason End);
