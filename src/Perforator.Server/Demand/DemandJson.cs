using System.Text.Json.Serialization;

namespace Perforator.Server.Demand;

/// <summary>JSON of what is kept, generated at compile time.</summary>
[JsonSerializable(typeof(BuildFigures))]
[JsonSerializable(typeof(AgentFigures))]
internal sealed partial class DemandJson : JsonSerializerContext;
