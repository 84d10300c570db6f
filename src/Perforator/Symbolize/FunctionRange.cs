namespace Perforator.Symbolize;

/// <summary>One function's machine code as DWARF describes it.</summary>
public sealed class BinaryFunction
{
    internal BinaryFunction(string name) => Name = name;

    /// <summary>The function's name, as in <see cref="SourceFrame.Function"/>; empty when the debug info has none.</summary>
    public string Name { get; }

    /// <summary>Its pieces in the order of the debug info: several when it was split into hot and cold parts.</summary>
    public IReadOnlyList<FunctionRange> Ranges { get; internal set; } = [];
}

/// <summary>One contiguous piece of a function's code.</summary>
public sealed class FunctionRange
{
    internal FunctionRange(BinaryFunction function, BinaryAddress start, BinaryAddress end)
    {
        Function = function;
        Start = start;
        End = end;
    }

    public BinaryFunction Function { get; }

    /// <summary>First address.</summary>
    public BinaryAddress Start { get; }

    /// <summary>One past the last address.</summary>
    public BinaryAddress End { get; }
}
