using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Deploy;

/// <summary>The .deb of the published CLI, made once for all tests of it.</summary>
public sealed class DebianPackage : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly Lazy<(string File, string Content)> package;

    public DebianPackage() => package = new(Make);

    /// <summary>The package.</summary>
    public string File => package.Value.File;

    /// <summary>A folder with what the package installs.</summary>
    public string Content => package.Value.Content;

    /// <summary>Runs eng/package; what is printed is the package's path.</summary>
    internal static string Build(string target)
    {
        Tool.Require("help2man");
        Dictionary<string, string> environment = new()
        {
            ["PERFORATOR_CLI"] = Tool.Perforator,
            // Packing is not what is tested, and xz takes a minute.
            ["DPKG_DEB_COMPRESSOR_TYPE"] = "gzip",
            ["DPKG_DEB_COMPRESSOR_LEVEL"] = "1",
        };
        return Tool.Run(Path.Combine(Tool.RepositoryRoot(), "eng", "package"), [target], environment: environment)
            .Succeeded().Output.Trim();
    }

    private (string File, string Content) Make()
    {
        string file = Build(folder["package"]), content = folder["content"];
        Tool.Run("dpkg-deb", ["--extract", file, content]).Succeeded();
        return (file, content);
    }

    public void Dispose() => folder.Dispose();
}

/// <summary>Tests of what is installed from the package, one after the other: they start whole systems.</summary>
[CollectionDefinition(Name)]
public sealed class DebianPackageTests : ICollectionFixture<DebianPackage>
{
    public const string Name = "Debian package";
}
