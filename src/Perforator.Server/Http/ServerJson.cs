using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Mvc;

namespace Perforator.Server.Http;

/// <summary>JSON of what the framework sends on the server's behalf.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ProblemDetails))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, string>))]
internal sealed partial class ServerJson : JsonSerializerContext;
