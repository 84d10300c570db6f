using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Perforator.Server.Http;
using Perforator.Server.Ingest;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server;

/// <summary>The server: HTTP API over one data folder.</summary>
public sealed class PerforatorServer : IAsyncDisposable
{
    private readonly WebApplication app;
    private readonly DataFolder data;

    private PerforatorServer(WebApplication app, DataFolder data)
    {
        this.app = app;
        this.data = data;
    }

    /// <summary>The address it listens on, with the port it got.</summary>
    public Uri Address => new(app.Urls.First());

    /// <summary>Opens the data folder and begins to listen.</summary>
    /// <exception cref="UserErrorException">The folder cannot be used, or the address cannot be listened on.</exception>
    public static async Task<PerforatorServer> StartAsync(ServerSettings settings, CancellationToken stop)
    {
        DataFolder data = DataFolder.Open(settings.DataFolder);
        try
        {
            WebApplication app = Build(settings, data);
            await app.StartAsync(stop);
            return new PerforatorServer(app, data);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            data.Dispose();
            throw new UserErrorException($"cannot listen on {settings.Listen}: {e.Message}; choose another --listen address", e);
        }
    }

    /// <summary>Serves until cancelled or told to end by SIGTERM or SIGINT; requests under way are finished.</summary>
    public Task RunAsync(CancellationToken stop) => app.WaitForShutdownAsync(stop);

    private static WebApplication Build(ServerSettings settings, DataFolder data)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        // Only the settings count, no appsettings.json of the current folder and no ASPNETCORE_ variables.
        builder.Configuration.Sources.Clear();
        builder.Configuration.AddInMemoryCollection();
        builder.Logging.SetMinimumLevel(LogLevel.Warning);
        builder.Logging.AddFilter("Microsoft.Hosting.Lifetime", LogLevel.Error);

        // A start that fails is thrown to the caller too, who tells the user in one line.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        builder.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(static console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.WebHost.UseUrls(settings.Listen.GetLeftPart(UriPartial.Authority));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = settings.MaxProfileBytes;
        });
        builder.Services.ConfigureHttpJsonOptions(static json => json.SerializerOptions.TypeInfoResolverChain.Insert(0, ApiJson.Default));
        builder.Services.AddProblemDetails();
        builder.Services.AddOpenApi();
        builder.Services
            .AddSingleton(settings)
            .AddSingleton<IBlobStore>(data.Blobs)
            .AddSingleton<IProfileStore>(data.Profiles)
            .AddSingleton<BinaryIngest>()
            .AddSingleton<ProfileIngest>()
            .AddSingleton<BuildSelection>()
            .AddSingleton<PgoResults>();

        WebApplication app = builder.Build();
        app.Use(ProblemResponses.Handle);
        app.UseRouting();
        app.MapOpenApi();
        HealthEndpoint.Map(app);
        ProfilesEndpoint.Map(app);
        BinariesEndpoint.Map(app);
        ServicesEndpoint.Map(app);
        PgoEndpoint.Map(app);
        return app;
    }

    /// <summary>Stops listening, finishes requests under way and closes the data folder.</summary>
    public async ValueTask DisposeAsync()
    {
        await app.DisposeAsync();
        data.Dispose();
    }
}
