using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.OpenApi;
using Perforator.Server.Auth;

namespace Perforator.Server.Http;

/// <summary>
/// What the OpenAPI document says of errors: on every operation, the statuses that any may end in, with problem details (RFC 9457) as their
/// schema.
/// </summary>
internal static class DescribedErrors
{
    private const string MediaType = "application/problem+json";

    private static readonly int[] OfAll =
        [StatusCodes.Status421MisdirectedRequest, StatusCodes.Status500InternalServerError, StatusCodes.Status503ServiceUnavailable, StatusCodes.Status507InsufficientStorage];

    private static readonly int[] OfBodies =
        [StatusCodes.Status408RequestTimeout, StatusCodes.Status413PayloadTooLarge, StatusCodes.Status415UnsupportedMediaType];

    private static readonly int[] OfCallers =
        [StatusCodes.Status401Unauthorized, StatusCodes.Status403Forbidden, StatusCodes.Status429TooManyRequests];

    public static async Task AddAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken stop)
    {
        OpenApiResponses responses = operation.Responses ??= [];
        OpenApiDocument document = context.Document!;
        document.AddComponent(nameof(ProblemDetails), await context.GetOrCreateSchemaAsync(typeof(ProblemDetails), null, stop));
        bool asksWho = context.Description.ActionDescriptor.EndpointMetadata.OfType<RequiredRole>().Any();
        bool hasBody = operation.RequestBody is not null, asksForOne = context.Description.RelativePath?.Contains('{', StringComparison.Ordinal) == true;
        foreach (int status in (int[])
        [
            .. OfAll, .. asksWho ? OfCallers : [], .. hasBody ? OfBodies : [], .. asksForOne ? [StatusCodes.Status404NotFound] : (int[])[],
            .. hasBody || operation.Parameters is { Count: > 0 } ? [StatusCodes.Status400BadRequest] : (int[])[],
        ])
            responses.TryAdd($"{status}", new OpenApiResponse { Description = ReasonPhrases.GetReasonPhrase(status) });
        responses.TryAdd("default", new OpenApiResponse { Description = "Another error" });
        // An answer to HEAD has no body.
        if (context.Description.HttpMethod == HttpMethods.Head)
            return;
        foreach ((string status, IOpenApiResponse response) in responses)
            if (response is OpenApiResponse own && (status == "default" || status[0] is '4' or '5'))
                own.Content = new Dictionary<string, OpenApiMediaType>
                {
                    [MediaType] = new() { Schema = new OpenApiSchemaReference(nameof(ProblemDetails), document) },
                };
    }
}
