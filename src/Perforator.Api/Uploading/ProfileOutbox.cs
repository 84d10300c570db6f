using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.Api.Uploading;

/// <summary>How much may wait.</summary>
public sealed record OutboxLimits
{
    /// <summary>Bytes in the spool.</summary>
    public long SpoolBytes { get; init; } = 500_000_000;

    /// <summary>How long ago what waits may have been recorded.</summary>
    public TimeSpan Age { get; init; } = TimeSpan.FromDays(7);

    /// <summary>Bytes in memory, where there is no spool or it cannot be written to.</summary>
    public long MemoryBytes { get; init; } = 16_000_000;
}

/// <summary>
/// Profiles on their way to the server. What is added is in the spool, on the disk, when <see cref="Add"/> returns, and leaves it once the
/// server has acknowledged it: a kill at any moment loses nothing and, as the server tells a repeated upload by its content, counts nothing
/// twice. Without a spool, and while its disk fails, profiles wait in memory. While they cannot be sent those of one service are added up.
/// What no longer fits is dropped, the oldest first, and counted. May be used from any thread.
/// </summary>
public sealed class ProfileOutbox : IDisposable
{
    /// <summary>The reason under which a later profile of the same service tells of what was dropped.</summary>
    public const string Dropped = "branch stacks dropped on the recorded host: they could not be sent for too long, or were refused";

    /// <summary>
    /// So many profiles of a service are added up, of up to half an hour each: what waits shrinks, and the server's hours stay exact
    /// enough.
    /// </summary>
    private const int PartsOfSum = 8;
    private static readonly TimeSpan LongestPart = TimeSpan.FromMinutes(30);

    /// <summary>A sum stays well below what a server takes in one upload.</summary>
    private const long MaxSumCounters = BranchProfileCodec.MaxUploadRows / 2;

    private readonly Lock gate = new();
    private readonly SortedDictionary<string, WaitingProfile> waiting = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ulong> losses = new(StringComparer.Ordinal);
    private readonly Spool? spool;
    private readonly OutboxLimits limits;
    private readonly Action<string> say;
    private string? spoolTrouble;
    private WaitingProfile? underWay;

    /// <param name="spool">Where profiles wait; null for memory.</param>
    /// <param name="say">Told, a line each, what becomes of the spool and of what is in it.</param>
    public ProfileOutbox(Spool? spool, OutboxLimits limits, Action<string> say)
    {
        this.spool = spool;
        this.limits = limits;
        this.say = say;
        OpenSpool();
    }

    /// <summary>Profiles the server has acknowledged.</summary>
    public int Sent { get; private set; }

    /// <summary>Branch stacks dropped, because too much waited, their file was damaged or the server refused them.</summary>
    public ulong DroppedSamples { get; private set; }

    /// <summary>Profiles dropped, for the same reasons.</summary>
    public int DroppedProfiles { get; private set; }

    /// <summary>How many profiles wait, their bytes, and the bytes of those that are in memory alone.</summary>
    public (int Profiles, long Bytes, long InMemory) Waiting
    {
        get
        {
            lock (gate)
                return (waiting.Count, waiting.Values.Sum(static w => w.Bytes), waiting.Values.Sum(static w => w.Content?.LongLength ?? 0));
        }
    }

    /// <summary>Why the spool cannot be used; null when it can, or there is none.</summary>
    public string? SpoolTrouble
    {
        get
        {
            lock (gate)
                return spoolTrouble;
        }
    }

    /// <summary>Takes over a set of one service.</summary>
    public void Add(BranchProfileSet set)
    {
        lock (gate)
        {
            OpenSpool();
            if (losses.Remove(set.Service ?? "", out ulong lost))
                set.Losses.Add(Dropped, lost);
            Keep(WaitingProfile.Of(set));
            foreach (WaitingProfile one in waiting.Values.Where(static w => w.Content is not null).ToArray())
                Store(one);
            Note(spool?.Trouble);
            AddUp(set.Service ?? "", areStored: spool is not null && spoolTrouble is null);
            Bound();
        }
    }

    /// <summary>Sends all there is, oldest first. What one service's profiles are refused for does not hold up the others'.</summary>
    /// <returns>Null when all was sent; else why not.</returns>
    public async Task<string?> SendAsync(IProfileUpload upload, CancellationToken stop)
    {
        string? trouble = null;
        HashSet<string> later = new(StringComparer.Ordinal);
        while (TakeFirst(later) is { } first)
        {
            (WaitingProfile profile, byte[] content, WaitingProfile.Details known) = first;
            try
            {
                UploadReceipt receipt = await upload.SendProfileAsync(content, stop);
                Acknowledge(profile);
                await upload.SendBinariesAsync(known.Builds, receipt, stop);
            }
            catch (OperationCanceledException)
            {
                return trouble ?? "out of time";
            }
            catch (ServerException e) when (e.Failure is ServerFailure.Unreachable or ServerFailure.Unavailable)
            {
                return e.Message;
            }
            catch (ServerException e) when (e.Failure != ServerFailure.Refused)
            {
                // Not allowed, or not understood: an operator's to mend, and until then it waits.
                trouble = e.Message;
                later.Add(known.Service);
            }
            catch (UserErrorException e)
            {
                trouble = e.Message;
                lock (gate)
                    if (waiting.ContainsKey(profile.Name))
                        Drop(profile, known, null);
            }
            finally
            {
                lock (gate)
                    underWay = null;
            }
        }
        return trouble;
    }

    public void Dispose() => spool?.Dispose();

    private void Acknowledge(WaitingProfile profile)
    {
        lock (gate)
        {
            Sent++;
            waiting.Remove(profile.Name);
            // One that is left there by a failing disk is sent again by the next agent, which changes nothing.
            if (profile.Content is null)
                _ = spool!.TryDelete(profile.Name);
        }
    }

    /// <summary>The first profile of a service that is not to come later; from then on it stays as it is.</summary>
    private (WaitingProfile Profile, byte[] Content, WaitingProfile.Details Known)? TakeFirst(HashSet<string> later)
    {
        lock (gate)
        {
            foreach (WaitingProfile profile in waiting.Values.ToArray())
            {
                if ((profile.Known is { } known && later.Contains(known.Service)) || Read(profile) is not { } content
                    || later.Contains(profile.Known!.Service))
                    continue;
                profile.IsFrozen = true;
                underWay = profile;
                return (profile, content, profile.Known);
            }
            return null;
        }
    }

    /// <summary>A profile's bytes; what cannot be read is dropped.</summary>
    private byte[]? Read(WaitingProfile profile)
    {
        if (profile.Content is { } content)
            return content;
        string reason = "";
        if (spool!.TryRead(profile.Name) is not { } read)
        {
            reason = spool.Trouble ?? "it is gone";
        }
        else if (!profile.IsWhole(read))
        {
            reason = "it is damaged";
        }
        else
        {
            try
            {
                _ = profile.LookInto(read);
                return read;
            }
            catch (MalformedInputException e)
            {
                reason = e.Message;
            }
        }
        Drop(profile, profile.Known, $"dropped {spool.Folder}/{profile.Name}: {reason}");
        return null;
    }

    /// <summary>Opens the spool if it is not open, and takes over what a former agent has left there.</summary>
    private void OpenSpool()
    {
        if (spool?.TryOpen() is { } names)
        {
            List<WaitingProfile> found = [];
            foreach (string name in names)
            {
                if (WaitingProfile.Find(name, spool.SizeOf(name)) is { } profile)
                    found.Add(profile);
                else
                    say($"{spool.Folder}/{name} was not written by an agent and is left there; perforator import sends it");
            }
            WaitingProfile[] parts = [.. found.Where(one => found.Any(one.IsPartOf))];
            if (parts.Length != 0)
                _ = spool.TryDelete(parts.Select(static part => part.Name));
            foreach (WaitingProfile one in found.Except(parts))
                Keep(one);
            foreach (WaitingProfile one in found.Except(parts))
                if (spool.TryRead(one.Name) is not { } content || !one.IsWhole(content))
                    _ = Read(one);
            if (waiting.Count != 0)
                say($"{waiting.Count} profiles of an earlier run wait in {spool.Folder} and will be sent");
            Bound();
        }
        Note(spool?.Trouble);
    }

    private void Keep(WaitingProfile profile) => waiting[profile.Name] = profile;

    private void Store(WaitingProfile profile)
    {
        if (spool?.TryWrite(profile.Name, profile.Content) == true)
            profile.Content = null;
    }

    private void Note(string? trouble)
    {
        if (trouble == spoolTrouble)
            return;
        spoolTrouble = trouble;
        say(trouble is null ? $"the spool {spool!.Folder} is used again"
            : $"{trouble}. Meanwhile profiles wait in memory, and are lost if the agent is killed");
    }

    /// <summary>Adds up what waits of a service and cannot have reached the server.</summary>
    /// <param name="areStored">Those in the spool; else those in memory.</param>
    private void AddUp(string service, bool areStored)
    {
        WaitingProfile[] parts =
            [.. waiting.Values.Where(
                w => !w.IsFrozen && w.Content is null == areStored && w.Known is { } known && known.Service == service
                    && known.Span < LongestPart)];
        if (parts.Length < PartsOfSum)
            return;
        BranchProfileSet? sum = null;
        List<WaitingProfile> added = [];
        foreach (WaitingProfile part in parts[..PartsOfSum])
        {
            if (Read(part) is not { } content)
                continue;
            BranchProfileSet set = BranchProfileCodec.Decode(content);
            if (sum is not null && (!sum.Labels.SequenceEqual(set.Labels) || Counters(sum) + Counters(set) > MaxSumCounters))
                continue;
            added.Add(part);
            if (sum is null)
                sum = set;
            else
                AddTo(sum, set);
        }
        if (added.Count < 2)
            return;
        WaitingProfile whole = WaitingProfile.Of(sum!, areStored ? added : []);
        if (areStored)
        {
            // The parts stay if the sum cannot be written; it goes again if they cannot be deleted.
            Store(whole);
            if (whole.Content is not null)
                return;
            if (!spool!.TryDelete(added.Select(static part => part.Name)))
            {
                _ = spool.TryDelete(whole.Name);
                return;
            }
        }
        foreach (WaitingProfile part in added)
            waiting.Remove(part.Name);
        Keep(whole);
    }

    private static long Counters(BranchProfileSet set) =>
        set.Profiles.Values.Sum(static profile => (long)profile.TraceCounters + profile.Addresses.Count);

    private static void AddTo(BranchProfileSet sum, BranchProfileSet set)
    {
        sum.Start = set.Start < sum.Start ? set.Start : sum.Start;
        sum.End = set.End > sum.End ? set.End : sum.End;
        sum.TotalSamples = sum.TotalSamples > ulong.MaxValue - set.TotalSamples ? ulong.MaxValue : sum.TotalSamples + set.TotalSamples;
        sum.Losses.Merge(set.Losses);
        foreach (BranchProfile profile in set.Profiles.Values)
            sum.TakeOver(profile);
    }

    /// <summary>Drops the oldest until what waits is neither too much nor too old.</summary>
    private void Bound()
    {
        DateTimeOffset oldest = DateTimeOffset.UtcNow - limits.Age;
        long inSpool = waiting.Values.Sum(
            static w => w.Content is null ? w.Bytes : 0), inMemory = waiting.Values.Sum(static w => w.Content is null ? 0 : w.Bytes);
        int before = DroppedProfiles;
        ulong samples = DroppedSamples;
        foreach (WaitingProfile profile in waiting.Values.ToArray())
        {
            bool isStored = profile.Content is null;
            if (profile == underWay || !(profile.End < oldest || (isStored ? inSpool > limits.SpoolBytes : inMemory > limits.MemoryBytes)))
                continue;
            (inSpool, inMemory) = isStored ? (inSpool - profile.Bytes, inMemory) : (inSpool, inMemory - profile.Bytes);
            // Where it has not been looked into, this says what is lost with it.
            if (profile.Known is not null || Read(profile) is not null)
                Drop(profile, profile.Known, null);
        }
        if (DroppedProfiles != before)
            say($"dropped {DroppedProfiles - before} profiles with {DroppedSamples - samples:N0} branch stacks: they have waited too long, or too much waits ({Waiting.Profiles} profiles with {Waiting.Bytes:N0} bytes)");
    }

    private void Drop(WaitingProfile profile, WaitingProfile.Details? known, string? line)
    {
        waiting.Remove(profile.Name);
        DroppedProfiles++;
        if (known is not null)
        {
            DroppedSamples += known.Samples;
            // What it would have told is not told with it.
            losses[known.Service] = losses.GetValueOrDefault(known.Service) + known.Samples + known.ToldLost;
        }
        if (line is not null)
            say(line);
        if (profile.Content is null)
            _ = spool!.TryDelete(profile.Name);
    }
}
