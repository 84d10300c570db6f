using System.Diagnostics.CodeAnalysis;
using Microsoft.Win32.SafeHandles;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Recording.Processes;

/// <summary>
/// The binaries of running processes, found through /proc whatever mount namespace they live in and even when they were deleted
/// since. Each is held open, so that it can still be read when it is replaced or its process has ended. Safe for use by several threads.
/// </summary>
public sealed class LiveModules : IModuleResolver, IDisposable
{
    private readonly record struct FileIdentity(uint Major, uint Minor, ulong Inode, ulong Size, long ChangeSeconds, uint ChangeNanoseconds);

    /// <summary>Files held open at most, so that a node that runs ever new programs does not run out of them.</summary>
    private const int MaxOpenFiles = 500;

    private const int MaxComplaints = 100;

    private readonly Lock gate = new();
    private readonly Dictionary<FileIdentity, Module?> byFile = [];
    private readonly Dictionary<BuildId, Module> byBuildId = [];
    private readonly Dictionary<BuildId, SafeFileHandle> open = [];
    private readonly Queue<BuildId> openOrder = [];
    private readonly HashSet<BuildId> useful = [];
    private readonly SortedDictionary<string, string> unreadable = new(StringComparer.Ordinal);

    /// <summary>Paths of the first mapped binaries that could not be used, each with the reason.</summary>
    public IReadOnlyDictionary<string, string> Unreadable
    {
        get
        {
            lock (gate)
                return new SortedDictionary<string, string>(unreadable, StringComparer.Ordinal);
        }
    }

    /// <inheritdoc/>
    public Module? Resolve(Mapping mapping)
    {
        // Everything that has no path of its own: [vdso], anonymous and shared memory, JIT code.
        if (!mapping.Path.StartsWith('/') || mapping.Path.StartsWith("//anon", StringComparison.Ordinal)
            || mapping.Path.StartsWith("/memfd:", StringComparison.Ordinal) || mapping.Path.StartsWith("/dev/", StringComparison.Ordinal)
            || mapping.Path.StartsWith("/SYSV", StringComparison.Ordinal))
            return null;
        lock (gate)
        {
            if (!mapping.BuildId.IsEmpty && byBuildId.TryGetValue(mapping.BuildId, out Module? known))
                return known;
            SafeFileHandle? file = Open(mapping);
            if (file is null)
            {
                Complain(mapping.Path, "the file is not there any more, or not permitted: recording other users' processes takes CAP_SYS_PTRACE");
                return null;
            }
            Module? module = Load(file, mapping.Path);
            if (module is not null && ProcessDescription.ExecutableOf(mapping.ProcessId) == module.Path)
                useful.Add(module.BuildId);
            return module;
        }
    }

    /// <summary>Whether a binary is worth keeping for generating profiles: it is a process's executable, or has debug info.</summary>
    public bool IsUseful(BuildId buildId)
    {
        lock (gate)
            return useful.Contains(buildId);
    }

    /// <summary>Where a binary can be read now, in this process: a path in /proc/self/fd.</summary>
    /// <param name="path">Valid until <see cref="Release"/> or <see cref="Dispose"/>.</param>
    public bool TryGetFile(BuildId buildId, [NotNullWhen(true)] out string? path)
    {
        lock (gate)
            path = open.TryGetValue(buildId, out SafeFileHandle? file) ? PathOf(file) : null;
        return path is not null;
    }

    /// <summary>The binary's file is not needed any more: it is closed. Its mappings still resolve.</summary>
    public void Release(BuildId buildId)
    {
        lock (gate)
            CloseFile(buildId);
    }

    public void Dispose()
    {
        lock (gate)
        {
            foreach (SafeFileHandle file in open.Values)
                file.Dispose();
            open.Clear();
        }
    }

    private Module? Load(SafeFileHandle file, string path)
    {
        FileIdentity? identity = IdentityOf(file);
        if (identity is not null && byFile.TryGetValue(identity.Value, out Module? known))
        {
            file.Dispose();
            return known;
        }
        Module? module = null;
        bool keep = false;

        // .NET maps assemblies, Wine whole Windows programs: nothing to complain about.
        Span<byte> magic = stackalloc byte[4];
        if (RandomAccess.Read(file, magic, 0) < magic.Length || !magic.SequenceEqual("\u007fELF"u8))
        {
            file.Dispose();
            if (identity is not null)
                byFile[identity.Value] = null;
            return null;
        }
        try
        {
            using ElfFile elf = ElfFile.Load(PathOf(file));
            module = new Module(elf.BuildId, WithoutDeleted(path), elf.LoadSegments);
            byBuildId.TryAdd(module.BuildId, module);
            if (elf.HasSection(".debug_info") || elf.HasSection(".debug_line"))
                useful.Add(module.BuildId);
            keep = open.TryAdd(module.BuildId, file);
            if (keep)
                openOrder.Enqueue(module.BuildId);
            while (open.Count > MaxOpenFiles && openOrder.TryDequeue(out BuildId oldest))
                CloseFile(oldest);
        }
        catch (Exception e) when (e is UserErrorException or MalformedInputException)
        {
            Complain(path, e.Message);
        }
        finally
        {
            if (!keep)
                file.Dispose();
        }
        if (identity is not null)
            byFile[identity.Value] = module;
        return module;
    }

    /// <summary>
    /// The very file that is mapped, if /proc/PID/map_files lets us (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE); else what its path leads
    /// to from the process's root; for a deleted executable, /proc/PID/exe; and when the process has ended already, the path as it is.
    /// </summary>
    private static SafeFileHandle? Open(Mapping mapping)
    {
        string process = $"/proc/{mapping.ProcessId}";
        string path = WithoutDeleted(mapping.Path);
        if (TryOpen($"{process}/map_files/{mapping.Start.Value:x}-{mapping.End.Value:x}") is { } mapped)
            return mapped;
        string? executable = new FileInfo($"{process}/exe").LinkTarget;
        if (executable is not null && WithoutDeleted(executable) == path && TryOpen($"{process}/exe") is { } running)
            return running;

        // Whatever has taken a deleted file's path since is another file.
        if (path != mapping.Path)
            return null;
        return TryOpen($"{process}/root{path}") ?? (Directory.Exists(process) ? null : TryOpen(path));
    }

    private static SafeFileHandle? TryOpen(string path)
    {
        try
        {
            return File.Exists(path) ? File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private void Complain(string path, string reason)
    {
        if (unreadable.Count < MaxComplaints)
            unreadable[path] = reason;
    }

    private void CloseFile(BuildId buildId)
    {
        if (open.Remove(buildId, out SafeFileHandle? file))
            file.Dispose();
    }

    private static FileIdentity? IdentityOf(SafeFileHandle file) =>
        Syscalls.Statx((int)file.DangerousGetHandle(), "", Syscalls.AT_EMPTY_PATH, Syscalls.STATX_BASIC_STATS, out Syscalls.FileStatus status) == 0
            ? new(status.DeviceMajor, status.DeviceMinor, status.Inode, status.Size, status.ChangeSeconds, status.ChangeNanoseconds)
            : null;

    private static string PathOf(SafeFileHandle file) => $"/proc/self/fd/{file.DangerousGetHandle()}";

    private static string WithoutDeleted(string path) =>
        path.EndsWith(" (deleted)", StringComparison.Ordinal) ? path[..^" (deleted)".Length] : path;
}
