using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace Perforator.Server.Http;

/// <summary>Strong entity tags of JSON answers: the hash of their bytes. Who has them is answered 304 (If-None-Match).</summary>
internal static class EntityTags
{
    /// <summary>Gives a route's 200 answers their tag.</summary>
    public static RouteHandlerBuilder WithEntityTag(this RouteHandlerBuilder route) => route.AddEndpointFilter(static async (context, next) =>
    {
        object? result = await next(context);
        if (result is not IValueHttpResult { Value: { } value }
            || result is not IStatusCodeHttpResult { StatusCode: StatusCodes.Status200OK })
            return result;
        // Ok<T> says as what the value is described; the value itself may be of a class that only implements it.
        JsonSerializerOptions json =
            context.HttpContext.RequestServices.GetRequiredService<IOptions<JsonOptions>>().Value.SerializerOptions;
        byte[] body = JsonSerializer.SerializeToUtf8Bytes(value, json.GetTypeInfo(result.GetType().GetGenericArguments()[0]));
        context.HttpContext.Response.Headers.CacheControl = "private, no-cache";
        return TypedResults.Bytes(
            body, "application/json; charset=utf-8",
            entityTag: new EntityTagHeaderValue($"\"{Convert.ToHexStringLower(SHA256.HashData(body))}\""));
    });
}
