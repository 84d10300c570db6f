using System.Buffers.Binary;
using Iced.Intel;
using Perforator.Branches;
using Perforator.Recording.Interpreter;
using static Perforator.Recording.Syscalls;
using Decoder = Iced.Intel.Decoder;

namespace Perforator.Recording.Software;

/// <summary>
/// The callers of a thread: where it stands by its frame pointers (System V AMD64 ABI 3.2.2), and from there on by the calls and returns of
/// the path that is followed, which miss none.
/// </summary>
internal sealed class CallStack
{
    /// <summary>As many frames as perf keeps (/proc/sys/kernel/perf_event_max_stack).</summary>
    private const int MaxFrames = 127;

    private const int LongestInstruction = 15;

    private const byte PushRbp = 0x55, Ret = 0xc3;

    private static ReadOnlySpan<byte> EndBr64 => [0xf3, 0x0f, 0x1e, 0xfa];

    private static ReadOnlySpan<byte> MovRbpRsp => [0x48, 0x89, 0xe5];

    private readonly record struct Transfer(FlowControl Flow, int Length);

    /// <summary>Return addresses, outermost first.</summary>
    private readonly List<ulong> frames = [];
    private readonly Dictionary<ulong, Transfer> transfers = [];
    private readonly byte[] bytes = new byte[2 * sizeof(ulong)];
    private RuntimeAddress[] callers = [];
    private int processId;

    /// <summary>Takes the callers of a thread that stands still: a read of 16 bytes for each.</summary>
    public void Begin(int process, in UserRegisters registers)
    {
        if (process != processId)
            transfers.Clear();
        processId = process;
        frames.Clear();
        ulong frame = registers.Rbp;
        if (ReturnSlot(registers) is { } slot && ReadWord(slot, out ulong own))
            frames.Add(own);
        for (ulong below =
            registers.Rsp; frames.Count < MaxFrames && frame >= below
                && frame % sizeof(ulong) == 0; below = frame + 1, frame = BinaryPrimitives.ReadUInt64LittleEndian(bytes))
        {
            if (TargetMemory.Read(processId, frame, bytes) != bytes.Length
                || BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(sizeof(ulong))) is not (not 0 and var caller))
                break;
            frames.Add(caller);
        }
        frames.Reverse();
    }

    /// <summary>Follows a branch of the path.</summary>
    public void Follow(in BranchEntry branch)
    {
        Transfer transfer = Of(branch.From.Value);
        if (transfer.Flow is FlowControl.Call or FlowControl.IndirectCall)
        {
            if (frames.Count == MaxFrames)
                frames.RemoveAt(0);
            frames.Add(branch.From.Value + (ulong)transfer.Length);
        }
        else if (transfer.Flow == FlowControl.Return && frames.LastIndexOf(branch.To.Value) is >= 0 and int returned)
        {
            // One that is not there is of a function without a frame pointer, whose caller's caller is the innermost that is known.
            frames.RemoveRange(returned, frames.Count - returned);
        }
    }

    /// <summary>Return addresses, innermost first; good until the next call.</summary>
    public ReadOnlySpan<RuntimeAddress> Callers()
    {
        if (callers.Length < frames.Count)
            callers = new RuntimeAddress[MaxFrames];
        for (int i = 0; i < frames.Count; i++)
            callers[i] = new RuntimeAddress(frames[^(i + 1)]);
        return callers.AsSpan(0, frames.Count);
    }

    /// <summary>
    /// Where the return address lies in a function that has not set up its frame yet, or has taken it down: there RBP is its caller's.
    /// </summary>
    private ulong? ReturnSlot(in UserRegisters registers)
    {
        Span<byte> code = stackalloc byte[EndBr64.Length + 1];
        code = code[..TargetMemory.Read(processId, registers.Rip, code)];
        bool isAtEntry = code.StartsWith(EndBr64) || code is [PushRbp, ..];
        return isAtEntry || code is [Ret, ..] ? registers.Rsp
            : code.StartsWith(MovRbpRsp) ? registers.Rsp + sizeof(ulong)
            : null;
    }

    private bool ReadWord(ulong address, out ulong word)
    {
        Span<byte> read = bytes.AsSpan(0, sizeof(ulong));
        bool isThere = TargetMemory.Read(processId, address, read) == read.Length;
        word = isThere ? BinaryPrimitives.ReadUInt64LittleEndian(read) : 0;
        return isThere;
    }

    /// <summary>What an instruction does; nothing when its process has ended meanwhile.</summary>
    private Transfer Of(ulong address)
    {
        if (transfers.TryGetValue(address, out Transfer known))
            return known;
        byte[] code = new byte[LongestInstruction];
        int length = TargetMemory.Read(processId, address, code);
        if (length == 0)
            return default;
        Decoder decoder = Decoder.Create(64, new ByteArrayCodeReader(code, 0, length), address);
        Instruction instruction = decoder.Decode();
        return transfers[address] = new Transfer(instruction.FlowControl, instruction.Length);
    }
}
