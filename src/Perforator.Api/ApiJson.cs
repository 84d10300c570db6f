using System.Text.Json.Serialization;

namespace Perforator.Api;

/// <summary>JSON of everything the API sends, generated at compile time.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.Never)]
[JsonSerializable(typeof(UploadReceipt))]
[JsonSerializable(typeof(IReadOnlyList<ServiceSummary>))]
[JsonSerializable(typeof(ServiceDetail))]
[JsonSerializable(typeof(IReadOnlyList<BuildSummary>))]
[JsonSerializable(typeof(PgoAnswer))]
[JsonSerializable(typeof(PgoJob))]
[JsonSerializable(typeof(HistoryPage))]
[JsonSerializable(typeof(IReadOnlyList<NamedProfile>))]
[JsonSerializable(typeof(PromoteRequest))]
[JsonSerializable(typeof(ProfileDiff))]
[JsonSerializable(typeof(FitAnswer))]
[JsonSerializable(typeof(PlanRequest))]
[JsonSerializable(typeof(PlanAnswer))]
[JsonSerializable(typeof(FleetOverview))]
[JsonSerializable(typeof(ServiceTimeline))]
[JsonSerializable(typeof(IReadOnlyList<AgentSummary>))]
[JsonSerializable(typeof(FunctionPage))]
[JsonSerializable(typeof(FunctionDetail))]
[JsonSerializable(typeof(ProfileTree))]
[JsonSerializable(typeof(Health))]
[JsonSerializable(typeof(Problem))]
public sealed partial class ApiJson : JsonSerializerContext;
