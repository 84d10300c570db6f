using System.Diagnostics;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Recording;
using Perforator.Recording.Processes;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording;

/// <summary>A binary is taken for the recorded one only if it is shown to be.</summary>
public sealed class LiveModulesTests : IDisposable
{
    /// <summary>No process has such an id.</summary>
    private const int Ended = int.MaxValue - 1;

    private readonly TemporaryFolder folder = new();
    private readonly LiveModules modules = new();
    private readonly string file;
    private readonly BuildId buildId;

    public LiveModulesTests()
    {
        file = folder["library.so"];
        File.Copy(Environment.ProcessPath!, file);
        using ElfFile elf = ElfFile.Load(file);
        buildId = elf.BuildId;
    }

    public void Dispose()
    {
        modules.Dispose();
        folder.Dispose();
    }

    private Mapping At(int processId) => new(processId, new(0x1000), 0x1000, new(0), file);

    private MappedFile Identity()
    {
        Assert.Equal(0, Syscalls.Statx(-100, file, 0, Syscalls.STATX_BASIC_STATS, out Syscalls.FileStatus status));
        return new(status.DeviceMajor, status.DeviceMinor, status.Inode);
    }

    /// <summary>The program's code, once the process has executed it.</summary>
    private static ProcessMap Mapped(int processId, string path)
    {
        for (int i = 0; i < 1000; i++)
        {
            if (ProcessMap.Load(processId).FirstOrDefault(m => m.IsExecutable && m.Path == path) is { } map)
                return map;
            Thread.Sleep(10);
        }
        throw new TimeoutException(path);
    }

    private void Refused(Mapping mapping)
    {
        Assert.Null(modules.Resolve(mapping));
        Assert.Equal(LiveModules.AnotherFile, modules.Unreadable[file]);
    }

    /// <summary>It may have run in a container, where the path led elsewhere.</summary>
    [Fact]
    public void The_file_at_the_path_of_a_process_that_has_ended_is_taken_by_its_numbers_or_its_build_id_only()
    {
        Refused(At(Ended));
        Refused(At(Ended) with { File = Identity() with { Inode = 1 } });
        Refused(At(Ended) with { BuildId = BuildId.Parse("0102030405060708090a0b0c0d0e0f1011121314") });
        Assert.Equal(buildId, modules.Resolve(At(Ended) with { File = Identity() })?.BuildId);
        Assert.Equal(buildId, new LiveModules().Resolve(At(Ended) with { BuildId = buildId })?.BuildId);
    }

    [Fact]
    public void A_file_that_was_replaced_since_it_was_mapped_is_not_taken()
    {
        Mapping mapping = At(Environment.ProcessId) with { File = Identity() };
        Mapping withId = At(Environment.ProcessId) with { BuildId = buildId };
        File.Move(file, folder["old"]);
        File.Copy("/bin/sh", file);
        Refused(mapping);
        Refused(withId);
    }

    /// <summary>On overlayfs and btrfs the numbers in maps are not stat's; the first page in memory tells.</summary>
    [Fact]
    public void Where_the_numbers_differ_the_memory_of_the_process_tells()
    {
        string sleep = folder["sleep"];
        File.Copy("/bin/sleep", sleep);
        using Process process = Process.Start(sleep, "60");
        try
        {
            ProcessMap map = Mapped(process.Id, sleep);
            Mapping mapping = map.ToMapping(process.Id) with { Start = new(map.Start.Value + 0x1000), File = new(1, 2, 3) };
            using ElfFile elf = ElfFile.Load(sleep);
            Assert.Equal(elf.BuildId, modules.Resolve(mapping)?.BuildId);
        }
        finally
        {
            process.Kill();
        }
    }
}
