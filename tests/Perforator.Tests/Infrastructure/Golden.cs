namespace Perforator.Tests.Infrastructure;

/// <summary>Golden files under testdata/. PERFORATOR_UPDATE_GOLDEN=1 rewrites them instead of comparing.</summary>
internal static class Golden
{
    /// <summary>Whether files are to be rewritten.</summary>
    public static bool IsUpdated => Environment.GetEnvironmentVariable("PERFORATOR_UPDATE_GOLDEN") == "1";

    public static void Check(string name, string actual)
    {
        string path = Path.Combine(Tool.RepositoryRoot(), "testdata", name);
        if (IsUpdated)
        {
            File.WriteAllText(path, actual);
            return;
        }
        Assert.True(File.Exists(path), $"{path} is missing; PERFORATOR_UPDATE_GOLDEN=1 eng/test makes it");
        string expected = File.ReadAllText(path);
        Assert.True(expected == actual, $"{path} differs; if the new result is right, PERFORATOR_UPDATE_GOLDEN=1 eng/test rewrites it.\nNow:\n{actual}");
    }
}
