using Perforator.Branches;
using Spectre.Console;

namespace Perforator.Cli;

/// <summary>A table of what a server has.</summary>
internal sealed class TextTable
{
    private static readonly string[] LeftColumns = ["Service", "Build id", "Path", "Profile", "Selector", "Names"];

    private readonly Table table = new() { Border = TableBorder.Simple };

    public TextTable(params string[] columns)
    {
        foreach (string column in columns)
            table.AddColumn(
                new TableColumn(column)
                {
                    Alignment = LeftColumns.Contains(column) ? Justify.Left : Justify.Right,
                    NoWrap = column is not ("Path" or "Selector")
                });
    }

    /// <summary>Adds a row. Texts come from whoever uploads; nothing of them may act on the terminal.</summary>
    public void Add(params string[] cells) => table.AddRow([.. cells.Select(static cell => new Text(ProfileLabels.Printable(cell)))]);

    /// <summary>Writes it on stdout. In a pipe or a file a line is as long as its content.</summary>
    public void Write()
    {
        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = 1000;
        AnsiConsole.Write(table);
    }

    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss");
}
