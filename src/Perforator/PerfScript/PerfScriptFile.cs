using System.Runtime.ExceptionServices;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>What perf script text held.</summary>
/// <param name="BranchSamples">Samples with at least one branch.</param>
/// <param name="PlainSamples">Samples without branches.</param>
/// <param name="Mappings">Mappings of executable code.</param>
public readonly record struct PerfScriptSummary(ulong BranchSamples, ulong PlainSamples, ulong Mappings);

/// <summary>How perf script text is understood.</summary>
/// <param name="LinkedBinaries">The binaries whose addresses, where text has a build id before them, are those that they are linked to;
/// null for none.</param>
/// <param name="Event">The event whose samples count, where text says which one they are of; null for all.</param>
public readonly record struct PerfScriptOptions(LinkedAddresses? LinkedBinaries = null, string? Event = null)
{
    internal LinkedAddresses Linked => LinkedBinaries ?? LinkedAddresses.None;
}

/// <summary>
/// Reads a file of perf script text on several threads. Each has an aggregator of its own and takes one block of whole samples after
/// another; what is mapped in a block reaches the other threads before they count anything that stands behind it.
/// </summary>
public sealed class PerfScriptFile
{
    /// <summary>More threads than this wait for the file rather than share the work; each costs a set of counters.</summary>
    private const int MaxThreads = 4;

    private readonly FileStream file;
    private readonly PerfScriptBlocks blocks;
    private readonly BranchAggregator[] shards;
    private readonly PerfScriptReader[] readers;

    // By reader, how many of the file's events it has met.
    private readonly int[] known;
    private Exception? failure;

    private PerfScriptFile(FileStream file, BranchAggregator[] shards, PerfScriptOptions options)
    {
        this.file = file;
        blocks = new PerfScriptBlocks(file.SafeFileHandle, file.Length);
        this.shards = shards;
        readers = [.. shards.Select(shard => new PerfScriptReader(shard, options))];
        known = new int[shards.Length];
    }

    /// <summary>Reads a file to its end.</summary>
    /// <param name="file">The file; one that is no regular file is read by one thread.</param>
    /// <param name="text">All of its text, for that one thread: a pipe's beginning may have been read already.</param>
    /// <param name="newShard">Makes an aggregator that knows what is mapped before the first line. The aggregators share nothing that
    /// changes.</param>
    /// <param name="options">How the text is understood.</param>
    /// <param name="summary">What the file held.</param>
    /// <returns>The aggregator made first, with all that was counted.</returns>
    /// <exception cref="UserErrorException">The file is unreadable.</exception>
    public static BranchAggregator Read(
        FileStream file, Stream text, Func<BranchAggregator> newShard, PerfScriptOptions options, out PerfScriptSummary summary)
    {
        try
        {
            if (!file.CanSeek || file.Length <= PerfScriptBlocks.Length)
            {
                BranchAggregator single = newShard();
                PerfScriptReader reader = new(single, options);
                reader.Read(text);
                summary = reader.Summary;
                return single;
            }
            BranchAggregator[] shards = new BranchAggregator[Math.Clamp(Environment.ProcessorCount, 1, MaxThreads)];
            for (int i = 0; i < shards.Length; i++)
                shards[i] = newShard();
            return new PerfScriptFile(file, shards, options).Read(out summary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{file.Name}: cannot be read as perf script text: {e.Message}", e);
        }
    }

    private BranchAggregator Read(out PerfScriptSummary summary)
    {
        Thread[] others = new Thread[readers.Length - 1];
        for (int i = 0; i < others.Length; i++)
        {
            int worker = i + 1;
            others[i] = new Thread(() => Work(worker)) { IsBackground = true };
            others[i].Start();
        }
        Work(0);
        foreach (Thread other in others)
            other.Join();
        if (failure is not null)
            ExceptionDispatchInfo.Throw(failure);
        // The aggregator that is returned shall have met all that is mapped.
        Replay(0, blocks.AllEvents());

        summary = default;
        foreach (PerfScriptReader reader in readers)
            summary = new(
                summary.BranchSamples + reader.BranchSamples, summary.PlainSamples + reader.PlainSamples,
                summary.Mappings + reader.Mappings);
        for (int i = 1; i < shards.Length; i++)
            shards[0].Merge(shards[i]);
        return shards[0];
    }

    private void Work(int worker)
    {
        PerfScriptReader reader = readers[worker];
        try
        {
            byte[] buffer = [];
            while (blocks.TryTake(out PerfScriptBlocks.Block block))
            {
                if (block.IsRest)
                {
                    Replay(worker, blocks.EventsBefore(block, []));
                    file.Position = block.Start;
                    reader.Read(file);
                    continue;
                }
                if (buffer.Length < block.Size)
                    buffer = new byte[Math.Max((int)block.Size, PerfScriptBlocks.Longest)];
                ReadOnlySpan<byte> text = blocks.Read(block, buffer);
                List<byte[]> own = PerfScriptReader.EventLines(text);
                Replay(worker, blocks.EventsBefore(block, own));
                reader.ReadBlock(text);
                known[worker] += own.Count;
            }
        }
        catch (Exception e)
        {
            // Rethrown by the thread that waits for all; of several, the first is the cause.
            Interlocked.CompareExchange(ref failure, e, null);
            blocks.Abandon();
        }
    }

    private void Replay(int worker, ReadOnlySpan<byte[]> events)
    {
        for (ref int next = ref known[worker]; next < events.Length; next++)
            readers[worker].ReplayEvent(events[next]);
    }
}
