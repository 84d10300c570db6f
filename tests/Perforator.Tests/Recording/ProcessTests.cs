using System.Diagnostics;
using Perforator.Recording.Processes;

namespace Perforator.Tests.Recording;

public class ProcessTests
{
    [Theory]
    [InlineData("55d0c0001000-55d0c0003000 r-xp 00001000 08:01 1234                       /opt/a b (deleted)", "/opt/a b (deleted)", true)]
    [InlineData("7ffc1000-7ffc2000 rw-p 00000000 00:00 0 ", "", false)]
    [InlineData("7ffc1000-7ffc2000 r-xp 00000000 00:00 0                          [vdso]", "[vdso]", true)]
    public void A_line_of_maps_is_read(string line, string path, bool executable)
    {
        Assert.True(ProcessMap.TryParse(line, out ProcessMap? map));
        Assert.Equal(path, map.Path);
        Assert.Equal(executable, map.IsExecutable);
    }

    [Fact]
    public void The_maps_of_this_very_process_hold_the_runtime()
    {
        IReadOnlyList<ProcessMap> maps = ProcessMap.Load(Environment.ProcessId);
        Assert.Contains(maps, m => m.IsExecutable && m.Path.EndsWith("/libcoreclr.so", StringComparison.Ordinal) && m.Inode != 0);
        Assert.Empty(ProcessMap.Load(int.MaxValue));
    }

    [Fact]
    public void A_process_tree_is_followed_until_its_last_process_ends()
    {
        using Process root = Process.Start(new ProcessStartInfo("sh", ["-c", "sleep 60 & echo $!; read line"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        int child = int.Parse(root.StandardOutput.ReadLine()!);
        try
        {
            ProcessTreeTargets targets = new([root.Id, int.MaxValue]);
            Assert.Equal([root.Id, child], targets.Refresh()!.Order());
            root.StandardInput.Close();
            root.WaitForExit();
            Assert.Equal([child], targets.Refresh()!);
        }
        finally
        {
            Process.GetProcessById(child).Kill();
        }
        ProcessTreeTargets ended = new([int.MaxValue]);
        Assert.Null(ended.Refresh());
    }
}
