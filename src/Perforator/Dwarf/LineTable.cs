using Perforator.Bytes;

namespace Perforator.Dwarf;

/// <summary>One row of a line table: from its address on, up to the next row, code comes from this place.</summary>
/// <param name="Address">ELF virtual address.</param>
/// <param name="Line">Source line from 1; 0 when the code belongs to no line.</param>
/// <param name="Discriminator">Tells apart blocks on one line.</param>
internal readonly record struct LineRow(ulong Address, uint Line, uint Discriminator);

/// <summary>
/// The rows of one line program. Rows are grouped in sequences, runs of ascending addresses; a sequence's last row only marks its
/// end.
/// </summary>
internal sealed class LineTable
{
    /// <summary>The line number that marks the last row of a sequence.</summary>
    public const uint EndLine = uint.MaxValue;

    private readonly List<LineRow> rows;
    private readonly LineSequence[] sequences;
    private int lastRow = -1;

    /// <param name="rows">All rows in program order.</param>
    /// <param name="sequences">Non-empty sequences in any order.</param>
    public LineTable(List<LineRow> rows, List<LineSequence> sequences)
    {
        this.rows = rows;
        // Stable by end address, as LLVM has it: among overlapping sequences the one that ends first answers.
        ulong[] ends = new ulong[sequences.Count];
        for (int i = 0; i < ends.Length; i++)
            ends[i] = sequences[i].High;
        int[] order = KeyOrder.Of(ends);
        this.sequences = new LineSequence[order.Length];
        for (int i = 0; i < order.Length; i++)
            this.sequences[i] = sequences[order[i]];
    }

    /// <summary>The row in force at an address.</summary>
    /// <param name="end">The next address at which another row is in force.</param>
    public bool TryFind(ulong address, out LineRow row, out ulong end)
    {
        // Callers walk code in address order: the last answer or the row behind it is nearly always right.
        if (lastRow >= 0 && address >= rows[lastRow].Address)
        {
            if (address < rows[lastRow + 1].Address)
                return Found(lastRow, out row, out end);
            if (lastRow + 2 < rows.Count && address < rows[lastRow + 2].Address && !IsEnd(lastRow + 1))
                return Found(lastRow + 1, out row, out end);
        }
        int at = FirstEndingAfter(address);
        if (at == sequences.Length || address < sequences[at].Low)
        {
            row = default;
            end = at == sequences.Length ? ulong.MaxValue : sequences[at].Low;
            return false;
        }
        int low = sequences[at].First + 1, high = sequences[at].Last;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (rows[middle].Address > address)
                high = middle;
            else
                low = middle + 1;
        }
        return Found(low - 1, out row, out end);
    }

    private bool Found(int index, out LineRow row, out ulong end)
    {
        lastRow = index;
        row = rows[index];
        end = rows[index + 1].Address;
        return true;
    }

    private bool IsEnd(int index) => rows[index].Line == EndLine;

    private int FirstEndingAfter(ulong address)
    {
        int low = 0, high = sequences.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (sequences[middle].High > address)
                high = middle;
            else
                low = middle + 1;
        }
        return low;
    }
}

/// <summary>A run of rows with ascending addresses.</summary>
/// <param name="Low">Address of the first row.</param>
/// <param name="High">Address of the last row, which is past the last instruction.</param>
/// <param name="First">Index of the first row.</param>
/// <param name="Last">Index of the last row.</param>
internal readonly record struct LineSequence(ulong Low, ulong High, int First, int Last);
