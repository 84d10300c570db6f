using System.Globalization;
using System.Text;

namespace Perforator.SampleProfiles;

/// <summary>Prints a comparison as <c>llvm-profdata overlap --sample</c> does, its spelling included.</summary>
public static class ProfileOverlapText
{
    /// <summary>Where the columns of the function table start.</summary>
    private static readonly int[] Columns = [0, 15, 30, 43, 53, 67, 81, 96, 111];

    /// <summary>The comparison of the whole program.</summary>
    public static string Summary(ProfileOverlap overlap, string baseName, string testName)
    {
        StringBuilder text = new();
        Line($"Profile overlap infomation for base_profile: {baseName} and test_profile: {testName}");
        Line($"Program level:");
        Line($"  Whole program profile similarity: {Percent(overlap.Similarity, 3)}");
        Line($"  Whole program sample overlap: {Percent(Ratio(overlap.OverlapSamples, overlap.UnionSamples), 3)}");
        Line($"    percentage of samples unique in base profile: {Percent(Ratio(overlap.BaseUniqueSamples, overlap.BaseSamples), 3)}");
        Line($"    percentage of samples unique in test profile: {Percent(Ratio(overlap.TestUniqueSamples, overlap.TestSamples), 3)}");
        Line($"    total samples in base profile: {overlap.BaseSamples}");
        Line($"    total samples in test profile: {overlap.TestSamples}");
        Counts("Function overlap", "functions", overlap.Functions);
        Counts("Hot-function overlap", "hot functions", overlap.HotFunctions);
        Counts("Hot-block overlap", "hot blocks", overlap.HotBlocks);
        return text.ToString();

        void Counts(string title, string what, OverlapCount count)
        {
            Line($"  {title}: {Percent(count.Ratio, 3)}");
            Line($"    overlap {what}: {count.Common}");
            Line($"    {what} unique in base profile: {count.BaseUnique}");
            Line($"    {what} unique in test profile: {count.TestUnique}");
        }

        void Line(FormattableString line) => text.Append(FormattableString.Invariant(line)).Append('\n');
    }

    /// <summary>A table of functions; empty when there are none.</summary>
    public static string Functions(ProfileOverlap overlap, IEnumerable<FunctionOverlap> functions)
    {
        StringBuilder text = new();
        foreach (FunctionOverlap function in functions)
        {
            if (text.Length == 0)
            {
                text.Append("Function-level details:\n");
                Row("Base weight", "Test weight", "Similarity", "Overlap", "Base unique", "Test unique", "Base samples", "Test samples", "Function name");
            }
            Row(
                Percent(Ratio(function.BaseSamples, overlap.BaseSamples), 2),
                Percent(Ratio(function.TestSamples, overlap.TestSamples), 2),
                Percent(function.Similarity, 2),
                Percent(Ratio(function.OverlapSamples, function.UnionSamples), 2),
                Percent(Ratio(function.BaseUniqueSamples, function.BaseSamples), 2),
                Percent(Ratio(function.TestUniqueSamples, function.TestSamples), 2),
                function.BaseSamples.ToString(CultureInfo.InvariantCulture),
                function.TestSamples.ToString(CultureInfo.InvariantCulture),
                function.Name);
        }
        return text.ToString();

        void Row(params ReadOnlySpan<string> cells) => TextColumns.Append(text, Columns, cells);
    }

    private static double Ratio(ulong part, ulong whole) => whole == 0 ? 0 : (double)part / whole;

    private static string Percent(double ratio, int digits) => (ratio * 100).ToString("F" + digits, CultureInfo.InvariantCulture) + "%";
}
