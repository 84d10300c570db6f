using Perforator.Generation;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>
/// The binaries of a service from the server's store. Objects are leased for as long as generation goes on; a damaged one is unlisted, so
/// that it is sent again.
/// </summary>
internal sealed class StoredBinaries : IBinaries, IDisposable
{
    private readonly ServerStorage storage;
    private readonly ILookup<BuildId, BinaryFile> files;
    private readonly IReadOnlyList<BinaryFile> shared;
    private readonly List<LocalObject> leased = [];

    /// <param name="files">The files of the builds that may be opened.</param>
    /// <param name="shared">Debug files that several builds may share (<see cref="IBinaryCatalog.ListSharedAsync"/>).</param>
    public StoredBinaries(ServerStorage storage, ILookup<BuildId, BinaryFile> files, IReadOnlyList<BinaryFile> shared)
    {
        this.storage = storage;
        this.files = files;
        this.shared = shared;
    }

    /// <summary>Whether one was damaged or gone, and is no longer listed.</summary>
    public bool HasLost { get; private set; }

    /// <summary>Called by the generator, on a thread of its own.</summary>
    public ProfiledBinary? Open(BuildId id, string path, TargetCompiler target, out string why)
    {
        why = "";
        BinaryFile? executable = Of(id, BinaryKind.Executable);
        if (executable is null)
        {
            why = "the server does not have the binary; give it with --binary FILE, or let an agent or 'perforator binaries put' upload it";
            return null;
        }
        if (Lease(executable) is not { } binary)
        {
            why = Damaged;
            return null;
        }
        StoredDebugFiles debugFiles = new(
            executable.HasDebugInfo ? null : Of(id, BinaryKind.Debug), Of(id, BinaryKind.SplitDebug), shared, Lease);
        try
        {
            ProfiledBinary opened = ProfiledBinary.Load(binary, debugFiles, target);
            if (opened.BuildId == id)
                return opened;
            opened.Dispose();
            why = Damaged;
            storage.Binaries.RemoveAsync(executable, CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (UserErrorException e)
        {
            // People know the binary by where it ran, not by where the server keeps it.
            why = e.Message.Replace(binary, path, StringComparison.Ordinal);
            if (e.InnerException is Bytes.MalformedInputException)
                storage.Binaries.RemoveAsync(executable, CancellationToken.None).GetAwaiter().GetResult();
        }
        return null;
    }

    private const string Damaged =
        "the server's copy of the binary is damaged or gone; let an agent or 'perforator binaries put' upload it again";

    private BinaryFile? Of(BuildId id, BinaryKind kind) => files[id].FirstOrDefault(file => file.Kind == kind);

    /// <summary>A path of the file; null, and it is no longer listed, when its object is damaged or gone.</summary>
    private string? Lease(BinaryFile file)
    {
        if (storage.LeaseAsync(file, CancellationToken.None).GetAwaiter().GetResult() is not { } local)
        {
            HasLost = true;
            return null;
        }
        leased.Add(local);
        return local.Path;
    }

    public void Dispose()
    {
        foreach (LocalObject local in leased)
            local.Dispose();
    }
}
