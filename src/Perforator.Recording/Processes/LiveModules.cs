using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;
using Perforator.Recording.PerfEvents;

namespace Perforator.Recording.Processes;

/// <summary>
/// The binaries of running processes, found through /proc whatever mount namespace they live in and even when they were deleted
/// since. Each is held open, so that it can still be read when it is replaced or its process has ended. Safe for use by several threads.
/// </summary>
public sealed class LiveModules : IModuleResolver, IDisposable
{
    /// <summary>Files held open at most, so that a node that runs ever new programs does not run out of them.</summary>
    private const int MaxOpenFiles = 500;

    private const int MaxComplaints = 100;

    /// <summary>Files remembered; a host that makes ever new programs begins anew then.</summary>
    private const int MaxFiles = 10_000;

    /// <summary>Why a file that is there is not used.</summary>
    internal const string AnotherFile =
        "the file there is not the one that was mapped: it was replaced since, or its process has ended in a container";

    private readonly Lock gate = new();
    private readonly Dictionary<FileIdentity, Module?> byFile = [];
    private readonly Dictionary<BuildId, Module> byBuildId = [];
    private readonly Dictionary<BuildId, SafeFileHandle> open = [];
    private readonly Queue<BuildId> openOrder = [];
    private readonly Dictionary<BuildId, Mapping> lastMapped = [];
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
        if (mapping.ProcessId == Mapping.KernelProcess)
            return OfKernel(mapping);

        // Everything that has no path of its own: [vdso], anonymous and shared memory, JIT code.
        if (!mapping.Path.StartsWith('/') || mapping.Path.StartsWith("//anon", StringComparison.Ordinal)
            || mapping.Path.StartsWith("/memfd:", StringComparison.Ordinal) || mapping.Path.StartsWith("/dev/", StringComparison.Ordinal)
            || mapping.Path.StartsWith("/SYSV", StringComparison.Ordinal))
            return null;
        lock (gate)
        {
            if (!mapping.BuildId.IsEmpty && byBuildId.TryGetValue(mapping.BuildId, out Module? known))
            {
                lastMapped[mapping.BuildId] = mapping;
                return known;
            }
            SafeFileHandle? file = Open(mapping, out bool isAnother);
            if (file is null)
            {
                Complain(mapping.Path, isAnother ? AnotherFile
                    : "the file is not there any more, or not permitted: recording other users' processes takes CAP_SYS_PTRACE");
                return null;
            }
            Module? module = Load(file, mapping.Path);
            if (module is not null && !mapping.BuildId.IsEmpty && module.BuildId != mapping.BuildId)
            {
                Complain(mapping.Path, AnotherFile);
                return null;
            }
            if (module is null)
                return null;
            lastMapped[module.BuildId] = mapping;
            if (ProcessIdentity.ExecutableOf(mapping.ProcessId) == module.Path)
                useful.Add(module.BuildId);
            return module;
        }
    }

    /// <summary>
    /// The kernel's image or a module, known by its build id and by where its code begins: the file need not be on this machine, and is
    /// given when a profile is generated.
    /// </summary>
    private static Module? OfKernel(Mapping mapping)
    {
        BinaryAddress? start = !mapping.IsKernel ? ElfFile.KernelModuleText
            : KernelMappings.LinkedText(
                LinuxKernel.Instance, mapping.Offset.Value != 0 ? new(mapping.Offset.Value) : mapping.Start,
                RuntimeInformation.ProcessArchitecture == Architecture.X64);
        if (mapping.BuildId.IsEmpty || start is not { } text)
            return null;
        return new Module(mapping.BuildId, mapping.ListedPath, [new LoadSegment(text, new(0), mapping.Length, mapping.Length, IsExecutable: true)])
        {
            KernelModuleName = mapping.IsKernel ? null : Mapping.KernelModuleOf(mapping.Path),
            KernelSymbols = mapping.IsKernel ? new Dictionary<string, BinaryAddress> { ["_text"] = text } : null,
        };
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

    /// <summary>
    /// Opens a binary's file again after <see cref="Release"/>, where the process that was last seen to have it still runs or its path
    /// still leads to it.
    /// </summary>
    public bool TryReopen(BuildId buildId)
    {
        lock (gate)
        {
            if (open.ContainsKey(buildId))
                return true;
            if (!lastMapped.TryGetValue(buildId, out Mapping? mapping) || Open(mapping with { BuildId = buildId }, out _) is not { } file)
                return false;
            try
            {
                using ElfFile elf = ElfFile.Load(PathOf(file));
                if (elf.BuildId == buildId)
                {
                    Hold(buildId, file);
                    return true;
                }
            }
            catch (Exception e) when (e is UserErrorException or MalformedInputException)
            {
                // Something else has taken its place.
            }
            file.Dispose();
            return false;
        }
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
        FileIdentity? identity = FileIdentity.Of(file);
        if (identity is not null && byFile.TryGetValue(identity.Value, out Module? known))
        {
            file.Dispose();
            return known;
        }
        if (byFile.Count >= MaxFiles)
        {
            byFile.Clear();
            byBuildId.Clear();
            lastMapped.Clear();
            useful.Clear();
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
            module = new Module(elf.BuildId, ProcessMap.WithoutDeleted(path), elf.LoadSegments);
            byBuildId.TryAdd(module.BuildId, module);
            if (elf.HasSection(".debug_info") || elf.HasSection(".debug_line"))
                useful.Add(module.BuildId);
            keep = Hold(module.BuildId, file);
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
    /// The very file that is mapped, if /proc/PID/map_files lets us (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE); else /proc/PID/exe for the
    /// executable, or what the path leads to from the process's root, and when the process has ended, from ours: each only if it is
    /// shown to be the file that was mapped. It may have been replaced, and what has ended may have run in a container.
    /// </summary>
    /// <param name="isAnother">Whether a file was there, but not the one that was mapped.</param>
    private static SafeFileHandle? Open(Mapping mapping, out bool isAnother)
    {
        isAnother = false;
        string process = $"/proc/{mapping.ProcessId}";
        string path = ProcessMap.WithoutDeleted(mapping.Path);
        if (TryOpen($"{process}/map_files/{mapping.Start.Value:x}-{mapping.End.Value:x}") is { } mapped)
        {
            // It is what is mapped now: by another process, if the recorded one has ended and its id was given out again.
            if (!mapping.BuildId.IsEmpty || IsMapped(mapping, mapped, mayCompareMemory: true))
                return mapped;
            mapped.Dispose();
        }
        bool hasEnded = !Directory.Exists(process);
        List<string> candidates = [];
        if (ProcessIdentity.ExecutableOf(mapping.ProcessId) == path)
            candidates.Add($"{process}/exe");

        // Whatever has taken a deleted file's path since is another file.
        if (path == mapping.Path)
            candidates.Add(hasEnded ? path : $"{process}/root{path}");
        foreach (string candidate in candidates)
        {
            if (TryOpen(candidate) is not { } file)
                continue;
            // Where there is a build id, the caller compares it.
            if (!mapping.BuildId.IsEmpty || IsMapped(mapping, file, mayCompareMemory: !hasEnded))
                return file;
            isAnother = true;
            file.Dispose();
        }
        return null;
    }

    /// <summary>
    /// Whether a file is the one that was mapped: by its file system's numbers, or where these differ, as overlayfs and btrfs show maps and
    /// stat different ones, by its first page, which holds the build id, in the process's memory.
    /// </summary>
    private static bool IsMapped(Mapping mapping, SafeFileHandle file, bool mayCompareMemory)
    {
        if (FileIdentity.Of(file) is not { } identity)
            return false;
        if (mapping.File != default && mapping.File == new MappedFile(identity.Major, identity.Minor, identity.Inode))
            return true;
        // Where a source tells neither, nothing speaks against the file of a process that runs but its memory.
        return mayCompareMemory && (IsInMemory(mapping, file) ?? mapping.File == default);
    }

    /// <summary>Whether the first page of a file is mapped in a process under the mapping's path; null when that cannot be told.</summary>
    private static bool? IsInMemory(Mapping mapping, SafeFileHandle file)
    {
        ProcessMap? first = ProcessMap.Load(mapping.ProcessId).FirstOrDefault(m => m.Path == mapping.Path && m.Offset.Value == 0);
        if (first is null)
            return null;
        byte[] inFile = new byte[Environment.SystemPageSize], inMemory = new byte[inFile.Length];
        try
        {
            using SafeFileHandle memory = File.OpenHandle($"/proc/{mapping.ProcessId}/mem");
            int read = RandomAccess.Read(file, inFile, 0);
            return RandomAccess.Read(memory, inMemory.AsSpan(0, read), (long)first.Start.Value) != read ? null
                : read > 0 && inFile.AsSpan(0, read).SequenceEqual(inMemory.AsSpan(0, read));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
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

    private bool Hold(BuildId buildId, SafeFileHandle file)
    {
        if (!open.TryAdd(buildId, file))
            return false;
        openOrder.Enqueue(buildId);
        while (open.Count > MaxOpenFiles && openOrder.TryDequeue(out BuildId oldest))
            CloseFile(oldest);
        return true;
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

    private static string PathOf(SafeFileHandle file) => $"/proc/self/fd/{file.DangerousGetHandle()}";
}
