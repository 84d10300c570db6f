namespace Perforator.Recording.Interpreter;

internal enum OperandKind : byte
{
    None,
    Register,
    Memory,
    Immediate,
}

/// <summary>What kinds of operands an instruction has and how wide they are: what its handler is chosen by.</summary>
internal readonly record struct OperandForm(int Bytes, OperandKind Destination, OperandKind Source);
