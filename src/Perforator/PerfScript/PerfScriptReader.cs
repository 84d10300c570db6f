using System.Buffers;
using Perforator.Branches;
using Perforator.Bytes;

namespace Perforator.PerfScript;

/// <summary>
/// Reads the text that <c>perf script -F ip,brstack --show-mmap-events</c> prints, as a stream of any size. Whatever is not
/// understood is skipped and counted; no input makes it throw.
/// </summary>
/// <remarks>
/// Understood are sample lines (an instruction pointer, then <c>0xFROM/0xTO/flags…</c> per branch, newest first), lines of
/// <c>PERF_RECORD_MMAP</c> and <c>PERF_RECORD_MMAP2</c>, instruction pointers alone on a line (samples without branches, or the frames
/// of a call stack before a line that begins with branches), columns before these (name, pid/tid or one of both, time, event), on the
/// sample's line or on the line before its first, a decimal number alone at the start of a line, which says how often
/// the next sample was seen (llvm-profgen's aggregated form), and addresses with the build id of their binary before them.
/// </remarks>
public sealed class PerfScriptReader
{
    /// <summary>A line too long to be a sample.</summary>
    public const string LineTooLong = "perf script line longer than 1 MiB";

    /// <summary>A branch that does not read 0xFROM/0xTO; the rest of its line is dropped.</summary>
    public const string BadBranch = "perf script line cut at a branch that is not 0xFROM/0xTO";

    /// <summary>A mapping line that could not be read.</summary>
    public const string BadMapping = "perf script mapping line not understood";

    /// <summary>A line of no known kind.</summary>
    public const string UnknownLine = "perf script line of no known kind";

    /// <summary>Branches printed by name, whose addresses cannot be told.</summary>
    public const string SymbolicBranches = "perf script line whose branches are symbols (brstacksym); print addresses with -F ip,brstack";

    /// <summary>A sample whose branches are all 0: the CPU had filled none in.</summary>
    public const string EmptyStack = "perf script sample with an empty branch stack";

    /// <summary>A sample of an event that is not the one asked for, or that the text does not tell the event of.</summary>
    public const string OtherEvent = "perf script sample that is not told to be of the event asked for (print the event: -F +event)";

    private const int MaxLine = 1 << 20;

    private static ReadOnlySpan<byte> MappingEvent => "PERF_RECORD_MMAP"u8;

    private static ReadOnlySpan<byte> AnyEvent => "PERF_RECORD_"u8;

    private readonly IBranchSink sink;
    private readonly PerfScriptTasks tasks;
    private readonly PerfScriptOptions options;
    private BranchEntry[] stack = new BranchEntry[64];
    private ulong weight = 1;
    private int processId = BranchAggregator.AnyProcess;
    private bool isWanted;

    // Instruction pointers alone on their lines: a call stack if a line that begins with branches follows, else samples without branches.
    private ulong firstFrame;
    private int frames;

    /// <param name="sink">What is fed.</param>
    /// <param name="options">How the text is understood.</param>
    public PerfScriptReader(IBranchSink sink, PerfScriptOptions options = default)
    {
        this.sink = sink;
        this.options = options;
        isWanted = options.Event is null;
        tasks = new PerfScriptTasks(sink);
    }

    /// <summary>Samples with at least one branch.</summary>
    public ulong BranchSamples { get; private set; }

    /// <summary>Samples without branches.</summary>
    public ulong PlainSamples { get; private set; }

    /// <summary>Mappings of executable code.</summary>
    public ulong Mappings { get; private set; }

    /// <summary>What was read so far.</summary>
    public PerfScriptSummary Summary => new(BranchSamples, PlainSamples, Mappings);

    /// <summary>Reads a file to its end.</summary>
    /// <exception cref="UserErrorException">The file is missing or unreadable.</exception>
    public void ReadFile(string path)
    {
        using FileStream file = InputFile.Open(path);
        ReadFile(file, InputFile.NameOf(path));
    }

    /// <summary>Reads a file or pipe that stands at its beginning to its end.</summary>
    /// <param name="path">What messages call it.</param>
    /// <exception cref="UserErrorException">It is unreadable.</exception>
    public void ReadFile(Stream file, string path)
    {
        try
        {
            Read(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"{path} cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Reads a stream to its end.</summary>
    public void Read(Stream text)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(2 * MaxLine);
        try
        {
            Read(text, buffer.AsSpan(0, 2 * MaxLine));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Read(Stream text, Span<byte> buffer)
    {
        int filled = 0;
        bool skipping = false;
        while (true)
        {
            int read = text.Read(buffer[filled..]);
            if (read == 0)
                break;
            filled += read;
            int end = buffer[..filled].LastIndexOf((byte)'\n') + 1;
            int start = 0;
            if (skipping && end > 0)
            {
                start = buffer[..end].IndexOf((byte)'\n') + 1;
                skipping = false;
            }
            if (end > 0)
            {
                ReadLines(buffer[start..end]);
                buffer[end..filled].CopyTo(buffer);
                filled -= end;
            }
            else if (skipping || filled >= MaxLine)
            {
                if (!skipping)
                    sink.OnLost(LineTooLong, 1);
                skipping = true;
                filled = 0;
            }
        }
        if (filled > 0 && !skipping)
            ReadLine(buffer[..filled], filled);
        FlushFrames();
    }

    /// <summary>Reads a piece of text that begins and ends where <see cref="FindCut"/> allows.</summary>
    internal void ReadBlock(ReadOnlySpan<byte> text)
    {
        ReadLines(text);
        FlushFrames();
    }

    /// <summary>Takes up a line of <see cref="EventLines"/> that another reader of the same text counts.</summary>
    internal void ReplayEvent(ReadOnlySpan<byte> line)
    {
        line = line[line.IndexOf(AnyEvent)..];
        if (!line.StartsWith(MappingEvent))
            tasks.Read(line);
        else if (PerfScriptMapping.TryParse(line, out Mapping? mapping, out bool executable) && executable)
            Map(mapping);
    }

    /// <summary>The lines that change what is mapped, or say whose processes numbers are.</summary>
    internal static List<byte[]> EventLines(ReadOnlySpan<byte> text)
    {
        List<byte[]> lines = [];
        for (int at = text.IndexOf(AnyEvent); at >= 0; at = text.IndexOf(AnyEvent))
        {
            int start = text[..at].LastIndexOf((byte)'\n') + 1;
            text = text[start..];
            int end = text.IndexOf((byte)'\n');
            ReadOnlySpan<byte> line = end < 0 ? text : text[..end];
            if (!IsSample(line, out _) && (line.IndexOf(MappingEvent) >= 0 || PerfScriptTasks.IsTask(line[line.IndexOf(AnyEvent)..])))
                lines.Add(line.ToArray());
            text = text[line.Length..];
        }
        return lines;
    }

    /// <summary>
    /// The start of the first line that is a sample complete in itself and follows such a line: nothing read before matters from there
    /// on, but for what is mapped. -1 when there is none.
    /// </summary>
    internal static int FindCut(ReadOnlySpan<byte> text)
    {
        bool follows = false;
        int start = text.IndexOf((byte)'\n') + 1;
        while (start > 0 && start < text.Length)
        {
            int length = text[start..].IndexOf((byte)'\n');
            if (length < 0)
                break;
            bool isSample = IsSample(text.Slice(start, length), out bool isWhole);
            if (follows && isWhole)
                return start;
            follows = isSample;
            start += length + 1;
        }
        return -1;
    }

    /// <summary>Whether a line has branches, by address, as its first or second word.</summary>
    /// <param name="isWhole">Whether they follow an instruction pointer, so that it takes none from the lines before.</param>
    private static bool IsSample(ReadOnlySpan<byte> line, out bool isWhole)
    {
        isWhole = false;
        PerfScriptTokens tokens = new(line);
        if (!tokens.Next(out ReadOnlySpan<byte> first))
            return false;
        if (PerfScriptTokens.IsBranch(first))
            return true;
        return isWhole = PerfScriptTokens.TryHex(first, out _) && tokens.Next(out ReadOnlySpan<byte> second)
            && PerfScriptTokens.IsBranch(second);
    }

    private void ReadLines(ReadOnlySpan<byte> lines)
    {
        while (!lines.IsEmpty)
        {
            int end = lines.IndexOf((byte)'\n');
            if (end < 0)
                end = lines.Length;
            ReadLine(lines, end);
            lines = end < lines.Length ? lines[(end + 1)..] : default;
        }
    }

    /// <param name="text">From the start of the line on; what follows it is not of interest, but may be looked at.</param>
    /// <param name="length">Length of the line.</param>
    private void ReadLine(ReadOnlySpan<byte> text, int length)
    {
        ReadOnlySpan<byte> line = text[..length];
        PerfScriptTokens tokens = new(line);
        if (!tokens.Next(out ReadOnlySpan<byte> token))
        {
            FlushFrames();
            ForgetHead();
            return;
        }
        if (PerfScriptTokens.IsBranch(token))
        {
            ulong leaf = frames > 0 ? firstFrame : 0;
            frames = 0;
            ReadStack(leaf, text, length, token.Length + tokens.Remaining);
            ForgetHead();
            return;
        }
        if (PerfScriptTokens.TryHex(token, out ulong address))
        {
            if (tokens.Next(out ReadOnlySpan<byte> second))
            {
                if (PerfScriptTokens.IsBranch(second))
                {
                    FlushFrames();
                    ReadStack(address, text, length, second.Length + tokens.Remaining);
                    return;
                }
            }
            else if (line[0] is >= (byte)'0' and <= (byte)'9' && PerfScriptTokens.TryDecimal(token, out ulong count)
                && token.Length == line.TrimEnd("\r "u8).Length)
            {
                FlushFrames();
                weight = Math.Max(count, 1);
                return;
            }
            else if (frames == 0 && PerfScriptTokens.TryDecimal(token, out ulong task) && line[^1] == (byte)' '
                && tasks.TryProcessOf(task, out int process))
            {
                processId = process;
                return;
            }
            else
            {
                if (frames++ == 0)
                    firstFrame = address;
                return;
            }
        }
        FlushFrames();
        ForgetHead();
        int at = line.IndexOf(AnyEvent);
        if (at >= 0 && line[at..].StartsWith(MappingEvent))
            ReadMapping(line[at..]);
        else if (at >= 0 && PerfScriptTasks.IsTask(line[at..]))
            tasks.Read(line[at..]);
        else if (token[0] != (byte)'#' && !TryReadColumns(text, length) && at < 0)
            sink.OnLost(PerfScriptTokens.IsSymbolicBranch(token) ? SymbolicBranches : UnknownLine, 1);
    }

    /// <summary>
    /// A line with columns before the branches, such as <c>name pid/tid [cpu] time: period event: address 0xFROM/0xTO/…</c>. The
    /// process id, if it is there, says whose mappings hold. Without branches, it is the head of a sample whose addresses follow.
    /// </summary>
    private bool TryReadColumns(ReadOnlySpan<byte> text, int length)
    {
        PerfScriptTokens tokens = new(text[..length]);
        int process = BranchAggregator.AnyProcess, alone = BranchAggregator.AnyProcess, previous = BranchAggregator.AnyProcess;
        ulong address = 0;
        bool symbolic = false, isHead = false;
        ReadOnlySpan<byte> name = default;
        while (tokens.Next(out ReadOnlySpan<byte> token))
        {
            if (PerfScriptTokens.IsBranch(token))
            {
                processId = process != BranchAggregator.AnyProcess ? process : alone;
                isWanted = options.Event is null
                    || (name.Length > 0 && EventName.AreSame(System.Text.Encoding.UTF8.GetString(name), options.Event));
                ReadStack(address, text, length, token.Length + tokens.Remaining);
                ForgetHead();
                return true;
            }
            symbolic |= PerfScriptTokens.IsSymbolicBranch(token);
            int slash = token.IndexOf((byte)'/');
            if (slash > 0 && PerfScriptTokens.TryDecimal(token[..slash], out ulong pid)
                && PerfScriptTokens.TryDecimal(token[(slash + 1)..], out _) && pid <= int.MaxValue)
                process = (int)pid;
            // A number that another column follows: the last one before the branches is the address.
            if (alone == BranchAggregator.AnyProcess)
                alone = previous;
            previous = slash < 0 && PerfScriptTokens.TryDecimal(token, out ulong task) && tasks.TryProcessOf(task, out int known)
                ? known : BranchAggregator.AnyProcess;
            address = PerfScriptTokens.TryHex(token, out ulong value) ? value : 0;
            isHead = token[^1] == (byte)':' && token.Length > 1;
            if (isHead)
                name = token[..^1];
        }
        if (symbolic)
            sink.OnLost(SymbolicBranches, 1);
        else if (process != BranchAggregator.AnyProcess
            || (isHead && (alone != BranchAggregator.AnyProcess || text[..length].IndexOf(": "u8) >= 0)))
        {
            processId = process != BranchAggregator.AnyProcess ? process : alone;
            isWanted = options.Event is null
                || (name.Length > 0 && EventName.AreSame(System.Text.Encoding.UTF8.GetString(name), options.Event));
        }
        else
        {
            return false;
        }
        return true;
    }

    /// <param name="text">From the start of the line on.</param>
    /// <param name="length">Length of the line.</param>
    /// <param name="branches">How much of the line there is from its first branch on.</param>
    private void ReadStack(ulong instructionPointer, ReadOnlySpan<byte> text, int length, int branches)
    {
        int count = 0;
        for (int at = length - branches; ;)
        {
            while (at < length && text[at] <= (byte)' ')
                at++;
            if (at == length)
                break;
            if (count == stack.Length)
                Array.Resize(ref stack, 2 * count);
            int size = PerfScriptTokens.ReadUsualBranch(text[at..], out stack[count]);
            if (size == 0)
            {
                PerfScriptTokens rest = new(text[at..length]);
                rest.Next(out ReadOnlySpan<byte> token);
                if (!PerfScriptTokens.TryBranch(token, options.Linked, out stack[count]))
                {
                    // brstacksym repeats the branches behind brstack's addresses.
                    if (!PerfScriptTokens.IsSymbolicBranch(token))
                        sink.OnLost(BadBranch, 1);
                    break;
                }
                size = token.Length;
            }
            at += size;
            count++;
        }
        ReadOnlySpan<BranchEntry> filled = stack.AsSpan(0, count);
        while (filled is [.., { From.Value: 0, To.Value: 0 }])
            filled = filled[..^1];
        if (filled.IsEmpty && count > 0)
        {
            sink.OnLost(EmptyStack, weight);
            weight = 1;
            return;
        }
        Deliver(instructionPointer, filled);
    }

    private void FlushFrames()
    {
        if (frames == 0)
            return;
        frames = 0;
        Deliver(firstFrame, default);
        ForgetHead();
    }

    /// <summary>What the head of a sample said holds for that sample only.</summary>
    private void ForgetHead() => (processId, isWanted) = (BranchAggregator.AnyProcess, options.Event is null);

    private void Deliver(ulong instructionPointer, ReadOnlySpan<BranchEntry> branches)
    {
        if (!isWanted)
        {
            sink.OnLost(OtherEvent, weight);
            weight = 1;
            return;
        }
        if (branches.IsEmpty)
            PlainSamples += weight;
        else
            BranchSamples += weight;
        sink.OnSample(new BranchSample
        {
            ProcessId = processId,
            ThreadId = 0,
            InstructionPointer = new(instructionPointer),
            Stack = branches,
            Weight = weight,
        });
        weight = 1;
    }

    private void ReadMapping(ReadOnlySpan<byte> record)
    {
        if (!PerfScriptMapping.TryParse(record, out Mapping? mapping, out bool executable))
        {
            sink.OnLost(BadMapping, 1);
            return;
        }
        if (!executable)
            return;
        Mappings++;
        Map(mapping);
    }

    private void Map(Mapping mapping)
    {
        // Samples without a process column share one address space with every process's mappings; those with one have their own.
        if (mapping.ProcessId > 0)
        {
            tasks.Know(mapping.ProcessId);
            sink.OnMapping(mapping);
        }
        sink.OnMapping(mapping.ProcessId < 0 ? mapping : mapping with { ProcessId = BranchAggregator.AnyProcess });
    }
}
