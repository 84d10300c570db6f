using System.Diagnostics;
using System.Runtime.InteropServices;
using Perforator.PerfData;

namespace Perforator.Recording.PerfEvents;

/// <summary>The kernel this process runs on.</summary>
internal sealed class LinuxKernel : IKernel
{
    public static LinuxKernel Instance { get; } = new();

    private LinuxKernel() { }

    public int PageSize => Environment.SystemPageSize;

    public TimeSpan Now => Stopwatch.GetElapsedTime(0);

    public TimeSpan ThreadCpuTime => Syscalls.ThreadCpuTime();

    public int OpenEvent(PerfEventAttributes attributes, int target, int cpu, ulong flags = 0) =>
        Syscalls.PerfEventOpen(attributes.ToBytes(), target, cpu, flags);

    public int Control(int fd, ulong request, long argument = 0) => Result(Syscalls.Ioctl(fd, request, argument));

    public unsafe int SetPeriod(int fd, ulong period) => Result(Syscalls.Ioctl(fd, Syscalls.PERF_EVENT_IOC_PERIOD, (long)&period));

    public unsafe long ReadCount(int fd)
    {
        long count;
        nint read = Syscalls.Read(fd, &count, sizeof(long));
        return read == sizeof(long) ? count : read < 0 ? -Marshal.GetLastPInvokeError() : -Syscalls.EINVAL;
    }

    public nint Map(int fd, nuint length)
    {
        nint address = Syscalls.Mmap(0, length, Syscalls.PROT_READ | Syscalls.PROT_WRITE, Syscalls.MAP_SHARED, fd, 0);
        return address == -1 ? -Marshal.GetLastPInvokeError() : address;
    }

    public void Unmap(nint address, nuint length) => _ = Syscalls.Munmap(address, length);

    public int OpenFolder(string path) => Result(Syscalls.Open(path, Syscalls.O_RDONLY | Syscalls.O_CLOEXEC | Syscalls.O_DIRECTORY));

    public void Close(int fd) => _ = Syscalls.Close(fd);

    public int Poll(Span<Syscalls.PollFd> fds, int milliseconds) => Result(Syscalls.Poll(fds, (ulong)fds.Length, milliseconds));

    public unsafe bool RunOn(int cpu)
    {
        ulong* mask = stackalloc ulong[cpu / 64 + 1];
        mask[cpu / 64] = 1UL << cpu % 64;
        return Syscalls.sched_setaffinity(0, (cpu / 64 + 1) * sizeof(ulong), mask) == 0;
    }

    public string? ReadText(string path)
    {
        try
        {
            return File.ReadAllText(path).TrimEnd('\n');
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    public byte[] ReadBytes(string path, int length)
    {
        try
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            byte[] bytes = new byte[length];
            return bytes[..file.ReadAtLeast(bytes, length, throwOnEndOfStream: false)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    public IReadOnlyList<string> List(string folder)
    {
        try
        {
            return [.. Directory.EnumerateFileSystemEntries(folder).Select(Path.GetFileName).OfType<string>()
                .Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private static int Result(int returned) => returned >= 0 ? returned : -Marshal.GetLastPInvokeError();
}
