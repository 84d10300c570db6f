using System.Diagnostics.Metrics;

namespace Perforator.Server.Storage;

/// <summary>Counts what goes wrong between the server and what keeps its data.</summary>
internal static class StorageMetrics
{
    public const string Name = "Perforator.Server.Storage";

    public const string Database = "database", Objects = "objects";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Errors =
        Meter.CreateCounter<long>("perforator.storage.errors", null, "Calls that failed, by part: database or objects.");
    private static readonly Counter<long> Retries =
        Meter.CreateCounter<long>("perforator.storage.retries", null, "Calls that were tried again, by part.");

    public static void Failed(string part) => Errors.Add(1, new KeyValuePair<string, object?>("part", part));

    public static void Repeated(string part) => Retries.Add(1, new KeyValuePair<string, object?>("part", part));
}
