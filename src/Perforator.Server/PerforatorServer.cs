using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Perforator.Api;
using Perforator.Server.Auth;
using Perforator.Server.Demand;
using Perforator.Server.Http;
using Perforator.Server.Ingest;
using Perforator.Server.Results;
using Perforator.Server.Retention;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;
using Perforator.Server.Storage.Fleet;
using Perforator.Server.Telemetry;

namespace Perforator.Server;

/// <summary>The server: HTTP API over one data folder.</summary>
public sealed class PerforatorServer : IAsyncDisposable
{
    /// <summary>How many uploads may wait for a disk, and reads for a database, before others wait for a thread.</summary>
    private const int WaitingThreads = 64;

    private readonly WebApplication app;
    private readonly ServerStorage storage;

    private PerforatorServer(WebApplication app, ServerStorage storage)
    {
        this.app = app;
        this.storage = storage;
    }

    /// <summary>The address it listens on, with the port it got.</summary>
    public Uri Address => new(app.Urls.First());

    /// <summary>Opens the data folder and begins to listen.</summary>
    /// <exception cref="UserErrorException">The folder cannot be used, or the address cannot be listened on.</exception>
    public static async Task<PerforatorServer> StartAsync(ServerSettings settings, CancellationToken stop)
    {
        // Threads of the pool wait for disks and databases; beyond its minimum, one for each CPU, it makes one more in half a second only.
        ThreadPool.SetMinThreads(WaitingThreads, Environment.ProcessorCount);
        ServerStorage storage = await OpenStorageAsync(settings, stop);
        try
        {
            WebApplication app = Build(settings, storage);
            await app.StartAsync(stop);
            return new PerforatorServer(app, storage);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            await storage.DisposeAsync();
            throw new UserErrorException($"cannot listen on {settings.Listen}: {e.Message}; choose another --listen address", e);
        }
    }

    private static Task<ServerStorage> OpenStorageAsync(ServerSettings settings, CancellationToken stop) => (settings.Database, settings.Objects) switch
    {
        (null, null) when settings.Role == ServerRole.All => EmbeddedStorage.OpenAsync(settings.DataFolder, TimeProvider.System, stop),
        (null, null) =>
            throw new UserErrorException(
                $"--role {settings.Role.ToString().ToLowerInvariant()} shares its work with other servers, by --database and --objects; give both"),
        ({ } database, { } objects) => FleetStorage.OpenAsync(database, objects, settings.DataFolder, TimeProvider.System, stop),
        _ => throw new UserErrorException("--database and --objects belong together: one holds what is known, the other the bytes"),
    };

    /// <summary>Serves until cancelled or told to end by SIGTERM or SIGINT; requests under way are finished.</summary>
    public Task RunAsync(CancellationToken stop) => app.WaitForShutdownAsync(stop);

    private static WebApplication Build(ServerSettings settings, ServerStorage storage)
    {
        ListenAddress listen = ListenAddress.Of(settings.Listen);
        AccessFile? access = settings.AccessFile is { } file ? AccessFile.Load(file) : null;
        CheckExposure(settings, listen, access);
        WebApplicationBuilder builder =
            WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        // Only the settings count, no appsettings.json of the current folder and no ASPNETCORE_ variables.
        builder.Configuration.Sources.Clear();
        builder.Configuration.AddInMemoryCollection();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Logging.AddFilter("Microsoft.Hosting.Lifetime", LogLevel.Error);

        // A start that fails is thrown to the caller too, who tells the user in one line.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(
            static console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        Observability.Add(builder, settings.LogFormat);
        TlsCertificate? certificate = settings.Tls is { } tls ? new TlsCertificate(tls.Certificate, tls.Key, TimeProvider.System) : null;
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = settings.MaxProfileBytes;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(20);
            kestrel.Limits.MaxConcurrentConnections = MaxConnections;
            Listening.Bind(kestrel, listen, certificate, asksForCertificate: access?.Certificates is not null);
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = settings.ShutdownPatience);
        if (access is not null)
            Authentication.Add(builder.Services, access);
        builder.Services.ConfigureHttpJsonOptions(static json =>
        {
            json.SerializerOptions.TypeInfoResolverChain.Insert(0, ApiJson.Default);
            json.SerializerOptions.TypeInfoResolverChain.Insert(1, ServerJson.Default);
        });
        builder.Services.AddProblemDetails();
        // So that whoever asks is told what of the request cannot be read.
        builder.Services.Configure<RouteHandlerOptions>(static routes => routes.ThrowOnBadRequest = true);
        builder.Services.AddOpenApi(static options => options.AddOperationTransformer(DescribedErrors.AddAsync));
        builder.Services
            .AddSingleton(settings)
            .AddSingleton(storage)
            .AddSingleton(TimeProvider.System)
            .AddSingleton<BinaryIngest>()
            .AddSingleton(Api.DebuginfodServers.OfEnvironment())
            .AddSingleton<DebuginfodSource>()
            .AddSingleton<ProfileIngest>()
            .AddSingleton<UploadBodies>()
            .AddSingleton(new EnrolmentFile(settings.EnrolmentFile))
            .AddSingleton<Planner>()
            .AddSingleton<AgentReports>()
            .AddSingleton<ProfileReader>()
            .AddSingleton<HistoryOfService>()
            .AddSingleton<PgoResults>()
            .AddSingleton<ServiceFigures>()
            .AddSingleton<ProfileViews>()
            .AddSingleton<SourceFiles>()
            .AddSingleton<FunctionSources>()
            .AddSingleton<BlockBuilder>()
            .AddSingleton<StorageReadiness>()
            .AddSingleton<Collector>();
        if (settings.Role != ServerRole.Api)
            builder.Services.AddHostedService<GenerationWorker>().AddHostedService<Housekeeping>();
        if (settings.Role != ServerRole.Worker)
            builder.Services.AddHostedService(static services => services.GetRequiredService<EnrolmentFile>())
                .AddHostedService<DemandUpdates>()
                .AddHostedService(static services => services.GetRequiredService<AgentReports>());

        builder.Services
            .AddSingleton(new InFlightBytes(settings.MaxBytesInFlight, TimeSpan.FromSeconds(20)))
            .AddSingleton(new AccessControl(access))
            .AddSingleton(new AuditLog(settings.AuditLog, TimeProvider.System));

        WebApplication app = builder.Build();
        storage.Log = app.Services.GetRequiredService<ILoggerFactory>().CreateLogger("Perforator");
        app.Use(app.Services.GetRequiredService<AuditLog>().Handle);
        app.Use(RequestMetrics.Handle);
        app.Use(ProblemResponses.Handle);
        app.Use(new ForeignPages(settings.HostNames, checksHost: access is null).Handle);
        if (settings.PathPrefix is { } prefix)
            app.Use(PageEndpoint.Below(prefix));
        app.UseRouting();
        app.Use(app.Services.GetRequiredService<AccessControl>().Handle);
        app.MapOpenApi("/api/{documentName}/openapi.json");
        HealthEndpoint.Map(app);
        Observability.MapMetrics(app);
        if (settings.Role == ServerRole.Worker)
            return app;
        ProfilesEndpoint.Map(app);
        BinariesEndpoint.Map(app);
        PlanEndpoint.Map(app);
        ServicesEndpoint.Map(app);
        PgoEndpoint.Map(app);
        HistoryEndpoint.Map(app);
        OverviewEndpoint.Map(app);
        FunctionsEndpoint.Map(app);
        PageEndpoint.Map(app);
        return app;
    }

    /// <summary>More connections than a fleet's agents keep open; what is beyond is closed at once rather than served slowly.</summary>
    private const int MaxConnections = 10_000;

    /// <summary>Refuses to serve other hosts without asking who they are, or over what anybody can read, unless told to.</summary>
    private static void CheckExposure(ServerSettings settings, ListenAddress listen, AccessFile? access)
    {
        if (listen.IsTls && settings.Tls is null)
            throw new UserErrorException(
                $"{settings.Listen} (--listen) is https: name its certificate and key with --tls-certificate and --tls-key");
        if (!listen.IsTls && settings.Tls is not null)
            throw new UserErrorException(
                $"{settings.Listen} (--listen) is http, for which a certificate has no use; give https://, or leave --tls-certificate out");
        if (!listen.IsTls && access?.Certificates is not null)
            throw new UserErrorException(
                $"{settings.AccessFile} (--auth) asks for client certificates, which only https has; give --listen https://");
        if (listen.IsLoopback || settings.IsInsecure)
            return;
        if (access is null)
            throw new UserErrorException(
                $"{settings.Listen} (--listen) is reached by other hosts: say who may do what with --auth FILE, or --insecure to let everybody do everything");
        if (!listen.IsTls)
            throw new UserErrorException(
                $"{settings.Listen} (--listen) would carry credentials that anybody on the way can read: give https:// with --tls-certificate and --tls-key, or --insecure behind a proxy");
    }

    /// <summary>Stops listening, finishes requests under way and closes the data folder.</summary>
    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync();
        await storage.DisposeAsync();
    }
}
