namespace Perforator.Server;

/// <summary>What a server does.</summary>
public enum ServerRole
{
    /// <summary>Answers requests and does the work.</summary>
    All,

    /// <summary>Answers requests; workers generate and add up.</summary>
    Api,

    /// <summary>Generates and adds up; answers how it is, and nothing else.</summary>
    Worker,
}

/// <summary>How a server writes its log on stderr.</summary>
public enum LogFormat
{
    /// <summary>For people.</summary>
    Text,

    /// <summary>A JSON object a line, with the trace's id.</summary>
    Json,
}

/// <summary>What a server is started with.</summary>
/// <param name="DataFolder">Where everything is kept; created when missing. One server at a time may use it.</param>
/// <param name="Listen">Address to bind, such as <c>http://127.0.0.1:7733</c>; port 0 takes a free one.</param>
public sealed record ServerSettings(string DataFolder, Uri Listen)
{
    /// <summary>Where a server listens, and where clients look for it, unless told otherwise.</summary>
    public static readonly Uri DefaultAddress = Api.ApiRoutes.DefaultAddress;

    /// <summary>Address of the fleet's database (<c>postgres://…</c>); null for the embedded one in the data folder.</summary>
    public string? Database { get; init; }

    /// <summary>Address of the fleet's objects (<c>s3://…</c>); given with <see cref="Database"/> or not at all.</summary>
    public string? Objects { get; init; }

    /// <summary>What this server does; several with the fleet's backend may share the work.</summary>
    public ServerRole Role { get; init; } = ServerRole.All;

    /// <summary>The path below which everything is, where a proxy passes it on (<c>/perforator</c>); null for none.</summary>
    public string? PathPrefix { get; init; }

    /// <summary>The largest profile upload accepted, in bytes as sent.</summary>
    public long MaxProfileBytes { get; init; } = 64L << 20;

    /// <summary>The largest profile accepted, in bytes after decompression.</summary>
    public int MaxProfileMessageBytes { get; init; } = 64 << 20;

    /// <summary>The most rows (counters) of one profile.</summary>
    public long MaxProfileRows { get; init; } = Branches.BranchProfileCodec.MaxUploadRows;

    /// <summary>The largest binary accepted, in bytes.</summary>
    public long MaxBinaryBytes { get; init; } = 8L << 30;

    /// <summary>How often it is looked for what can be added up.</summary>
    public TimeSpan CompactEvery { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long uploads are left alone before they are added up, counted from the reception of their hour's last one.</summary>
    public TimeSpan CompactAfter { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long uploads are kept one by one, counted back from a service's newest; after that their sums remain.</summary>
    public TimeSpan KeepUploads { get; init; } = TimeSpan.FromDays(7);

    /// <summary>
    /// How long sums of uploads are kept, counted back from a service's newest, and generated profiles that have no name.
    /// </summary>
    public TimeSpan KeepSums { get; init; } = TimeSpan.FromDays(400);

    /// <summary>How long a binary is kept that no service's profiles are of.</summary>
    public TimeSpan KeepUnused { get; init; } = TimeSpan.FromDays(30);

    /// <summary>How long an object stays once nothing names it any more: longer than a request takes, or a backup.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromDays(2);

    /// <summary>Memory that all profile uploads under way may take together, in bytes.</summary>
    public long MaxBytesInFlight { get; init; } = 512L << 20;

    /// <summary>A folder with the services' source, for pages to show lines of; null for none.</summary>
    public string? SourceRoot { get; init; }

    /// <summary>The address at which people see a line of source (<see cref="Results.SourceFiles"/>); null for none.</summary>
    public string? SourceUrl { get; init; }

    /// <summary>What is wrong with a template for <see cref="SourceUrl"/>, as a sentence; null for nothing.</summary>
    public static string? FaultOfSourceUrl(string template) => Results.SourceFiles.FaultOf(template);

    /// <summary>Who may do what (<see cref="Auth.AccessFile"/>); null for a server that asks nobody who they are.</summary>
    public string? AccessFile { get; init; }

    /// <summary>Services, pinned rates and labels (<see cref="Demand.Enrolment"/>); null for demand to decide on all.</summary>
    public string? EnrolmentFile { get; init; }

    /// <summary>Whether a server that other hosts reach may do without <see cref="AccessFile"/>.</summary>
    public bool IsInsecure { get; init; }

    /// <summary>The names by which clients call the server, besides localhost and the machine's.</summary>
    public IReadOnlyList<string> HostNames { get; init; } = [];

    /// <summary>Certificate and key in PEM files, for https.</summary>
    public (string Certificate, string Key)? Tls { get; init; }

    /// <summary>Where a line for each write goes: a file, "-" for stderr, or null for nowhere.</summary>
    public string? AuditLog { get; init; }

    /// <summary>How the log is written.</summary>
    public LogFormat LogFormat { get; init; }

    /// <summary>How long requests under way may take to finish once the server is told to end.</summary>
    public TimeSpan ShutdownPatience { get; init; } = TimeSpan.FromSeconds(60);
}
