using System.Collections;
using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Perforator.Server.Auth;
using Perforator.Server.Http;
using Perforator.Server.Results;
using Perforator.Server.Storage;

namespace Perforator.Server.Telemetry;

/// <summary>Metrics for Prometheus, traces by OTLP, and logs, by OpenTelemetry's and .NET's own means.</summary>
internal static class Observability
{
    private const string EndpointVariable = "OTEL_EXPORTER_OTLP_ENDPOINT", TracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    /// <summary>
    /// What is measured beside our own: requests, connections, calls of S3 and PostgreSQL, memory and garbage collection.
    /// </summary>
    private static readonly string[] Meters =
        [ServerMetrics.Name, StorageMetrics.Name, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Net.Http", "Npgsql", "System.Runtime"];

    /// <summary>Gauges of the runtime whose names would end as a histogram's do.</summary>
    private static readonly string[] MisnamedInPrometheus = ["dotnet.assembly.count", "dotnet.process.cpu.count", "dotnet.timer.count"];

    /// <summary>
    /// Combinations of labels that an instrument of others may have: routes, methods and statuses. Memory for all of them is taken at once,
    /// and by default for 2,000, as services may be many in our own.
    /// </summary>
    private const int MostOfOthers = 400;

    /// <summary>Adds all of it.</summary>
    public static void Add(WebApplicationBuilder builder, LogFormat logs)
    {
        // OpenTelemetry's settings are its own variables, as its specification has them.
        Dictionary<string, string?> variables = Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Where(static variable => ((string)variable.Key).StartsWith("OTEL_", StringComparison.Ordinal))
            .ToDictionary(static variable => (string)variable.Key, static variable => (string?)variable.Value);
        builder.Configuration.AddInMemoryCollection(variables);
        OpenTelemetry.OpenTelemetryBuilder telemetry = builder.Services.AddOpenTelemetry()
            .ConfigureResource(
                static resource => resource.AddService("perforator", serviceVersion: PgoResults.Tool).AddEnvironmentVariableDetector())
            .WithMetrics(static metrics => metrics
                .AddMeter(Meters)
                .AddView(static instrument => MisnamedInPrometheus.Contains(instrument.Name) ? MetricStreamConfiguration.Drop
                    : instrument.Meter.Name is ServerMetrics.Name or StorageMetrics.Name ? null
                    : new MetricStreamConfiguration { CardinalityLimit = MostOfOthers })
                .AddPrometheusExporter());
        if (variables.ContainsKey(EndpointVariable) || variables.ContainsKey(TracesEndpointVariable))
            telemetry.WithTracing(
                static traces => traces.AddAspNetCoreInstrumentation().AddSource(ServerMetrics.Name, "Npgsql").AddOtlpExporter());
        builder.Services.AddSingleton<StoreFigures>().AddSingleton<ServerGauges>();

        builder.Logging.Configure(
            static options => options.ActivityTrackingOptions = ActivityTrackingOptions.TraceId | ActivityTrackingOptions.SpanId);
        if (logs == LogFormat.Json)
            builder.Logging.AddJsonConsole(static json =>
            {
                json.IncludeScopes = true;
                json.UseUtcTimestamp = true;
                json.TimestampFormat = "O";
            });
    }

    /// <summary><c>GET /metrics</c>. Names of all services stand there, so it takes the role read on all of them.</summary>
    public static void MapMetrics(WebApplication app)
    {
        app.Services.GetRequiredService<ServerGauges>();
        app.MapPrometheusScrapingEndpoint("/metrics", null, static branch => branch.Use(async (context, next) =>
    {
        if (!context.Caller().Grants.Any(static grant => grant.Gives(Role.Read) && grant.Services.Contains("*")))
            throw new ApiException(StatusCodes.Status403Forbidden, "metrics name all services: they take the role read on services '*'");
        await context.RequestServices.GetRequiredService<StoreFigures>().RefreshAsync(context.RequestAborted);
        await next(context);
    }), null).Requires(Role.Read);
    }

    /// <summary>Where a task's work belongs that another request asked for, perhaps on another server.</summary>
    public static ActivityContext ParentOf(string? traceParent) =>
        ActivityContext.TryParse(traceParent, null, out ActivityContext parent) ? parent : default;
}
