using System.Text;

namespace Perforator.SampleProfiles;

/// <summary>Lines of cells that start at fixed columns, as LLVM's tools lay out their tables.</summary>
internal static class TextColumns
{
    /// <summary>Appends one line. A cell that reaches into the next column is followed by one space.</summary>
    public static void Append(StringBuilder text, ReadOnlySpan<int> columns, ReadOnlySpan<string> cells)
    {
        int start = text.Length;
        for (int i = 0; i < cells.Length; i++)
        {
            if (i > 0)
                text.Append(' ', Math.Max(1, start + columns[i] - text.Length));
            text.Append(cells[i]);
        }
        text.Append('\n');
    }
}
