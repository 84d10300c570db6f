using System.Diagnostics;
using Perforator.Bytes;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Bytes;

public sealed class WholeFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_link_is_followed_and_not_replaced()
    {
        string file = folder.Write("file", "old"), link = folder["link"];
        File.CreateSymbolicLink(link, file);
        WholeFile.Write(link, "new"u8);
        Assert.Equal("new", File.ReadAllText(file));
        Assert.Equal(file, new FileInfo(link).LinkTarget);
        Assert.Equal(2, Directory.GetFiles(folder.Path).Length);
    }

    /// <summary>As root, renaming a file onto /dev/null would replace the device.</summary>
    [Fact]
    public void A_device_is_written_to_and_not_replaced()
    {
        WholeFile.Write("/dev/null", "gone"u8);
        Assert.Empty(File.ReadAllBytes("/dev/null"));
    }

    [Fact]
    public void What_a_file_holds_is_told_without_reading_devices()
    {
        string file = folder.Write("file", "content"), link = folder["link"], pipe = folder["pipe"];
        File.CreateSymbolicLink(link, file);
        Tool.Run("mkfifo", [pipe]).Succeeded();
        Assert.True(WholeFile.Holds(file, "content"u8));
        Assert.True(WholeFile.Holds(link, "content"u8));
        Assert.False(WholeFile.Holds(file, "other"u8));
        Assert.False(WholeFile.Holds(folder["none"], "content"u8));
        Assert.False(WholeFile.Holds(pipe, "content"u8));
        Assert.False(WholeFile.Holds("/dev/zero", "content"u8));
    }

    [Fact]
    public void A_pipe_is_written_to_and_not_replaced()
    {
        string pipe = folder["pipe"];
        Tool.Run("mkfifo", [pipe]).Succeeded();
        using Process reader = Process.Start(new ProcessStartInfo("cat", [pipe]) { RedirectStandardOutput = true })!;
        WholeFile.Write(pipe, "through"u8);
        Assert.Equal("through", reader.StandardOutput.ReadToEnd());
        reader.WaitForExit();
    }
}
