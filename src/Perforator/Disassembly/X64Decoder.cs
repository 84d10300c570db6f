using Iced.Intel;

namespace Perforator.Disassembly;

/// <summary>x86-64, through Iced.</summary>
public sealed class X64Decoder : IInstructionDecoder
{
    /// <summary>The longest instruction, in bytes; Intel SDM volume 2, section 2.3.11.</summary>
    private const int MaxLength = 15;

    private readonly Window window = new();
    private readonly Decoder decoder;

    public X64Decoder() => decoder = Decoder.Create(64, window, DecoderOptions.NoInvalidCheck);

    /// <inheritdoc/>
    public bool TryDecode(ReadOnlySpan<byte> code, BinaryAddress address, out Instruction instruction)
    {
        window.Set(code);
        decoder.IP = address.Value;
        decoder.Decode(out Iced.Intel.Instruction decoded);
        if (decoded.IsInvalid)
        {
            instruction = new Instruction(1, InstructionKind.Sequential, 0);
            return false;
        }
        InstructionKind kind = KindOf(in decoded);
        ulong target = kind is InstructionKind.ConditionalBranch or InstructionKind.UnconditionalBranch or InstructionKind.Call
            ? decoded.NearBranchTarget : 0;
        instruction = new Instruction(decoded.Length, kind, target);
        return true;
    }

    private static InstructionKind KindOf(in Iced.Intel.Instruction instruction)
    {
        switch (instruction.FlowControl)
        {
            case FlowControl.ConditionalBranch:
            case FlowControl.XbeginXabortXend when instruction.Mnemonic == Mnemonic.Xbegin:
                return InstructionKind.ConditionalBranch;
            case FlowControl.UnconditionalBranch:
                return InstructionKind.UnconditionalBranch;
            case FlowControl.IndirectBranch:
                return InstructionKind.IndirectBranch;
            // Iced also files system calls and virtual machine entries here, whose far side is not user code.
            case FlowControl.Call:
                return instruction.Mnemonic == Mnemonic.Call ? InstructionKind.Call : InstructionKind.Sequential;
            case FlowControl.IndirectCall:
                return InstructionKind.IndirectCall;
            case FlowControl.Return:
                return InstructionKind.Return;
            default:
                return InstructionKind.Sequential;
        }
    }

    /// <summary>The bytes at hand. Iced reads through a class, which cannot hold a span.</summary>
    private sealed class Window : CodeReader
    {
        private readonly byte[] bytes = new byte[MaxLength];
        private int length;
        private int position;

        public void Set(ReadOnlySpan<byte> code)
        {
            length = Math.Min(code.Length, MaxLength);
            code[..length].CopyTo(bytes);
            position = 0;
        }

        public override int ReadByte() => position < length ? bytes[position++] : -1;
    }
}
