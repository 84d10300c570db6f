using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Perforator.Server.Auth;

/// <summary>One JSON line for each request that wanted to write: when, who, from where, what, and with which status it ended.</summary>
internal sealed class AuditLog : IDisposable
{
    private readonly TextWriter? output;
    private readonly TimeProvider clock;

    /// <param name="path">The file to append to, "-" for stderr, or null for none.</param>
    /// <exception cref="UserErrorException">The file cannot be written to.</exception>
    public AuditLog(string? path, TimeProvider clock)
    {
        this.clock = clock;
        try
        {
            output = path switch
            {
                null => null,
                "-" => Console.Error,
                _ => TextWriter.Synchronized(new StreamWriter(path, append: true) { AutoFlush = true }),
            };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot write the audit log {path}: {e.Message}", e);
        }
    }

    /// <summary>The middleware; stands before all that may refuse.</summary>
    public async Task Handle(HttpContext context, RequestDelegate next)
    {
        if (output is null || HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method))
        {
            await next(context);
            return;
        }
        try
        {
            await next(context);
        }
        finally
        {
            Write(context, new JsonObject
            {
                ["time"] = clock.GetUtcNow().UtcDateTime.ToString("o"),
                ["caller"] = context.Features.Get<Caller>()?.Name ?? "unknown",
                ["from"] = context.Connection.RemoteIpAddress?.ToString(),
                ["method"] = context.Request.Method,
                ["path"] = context.Request.Path.Value,
                ["bytes"] = context.Request.ContentLength,
                ["status"] = context.RequestAborted.IsCancellationRequested ? 499 : context.Response.StatusCode,
                ["service"] = context.Items.TryGetValue(ServiceItem, out object? service) ? service as string : null,
            }.ToJsonString(JsonSerializerOptions.Web));
        }
    }

    /// <summary>What is done is done, and its answer on the way: a log that cannot be written to loses no line either.</summary>
    private void Write(HttpContext context, string line)
    {
        try
        {
            output!.WriteLine(line);
        }
        catch (IOException e)
        {
            context.RequestServices.GetRequiredService<ILogger<AuditLog>>()
                .LogError("the audit log cannot be written to ({Reason}): {Line}", e.Message, line);
        }
    }

    /// <summary>Under this key of the request's items stands the service that an upload turned out to be of.</summary>
    public const string ServiceItem = "perforator.service";

    public void Dispose()
    {
        if (!ReferenceEquals(output, Console.Error))
            output?.Dispose();
    }
}
