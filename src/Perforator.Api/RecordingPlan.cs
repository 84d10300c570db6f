using System.Text.Json;
using Perforator.Bytes;

namespace Perforator.Api;

/// <summary>
/// What the server wants recorded of each service. The last plan holds for as long as it says, also over a restart where there is a spool;
/// after that, and before there is any, every service has the fallback rate. May be used from any thread.
/// </summary>
public sealed class RecordingPlan
{
    /// <summary>The rate before any server has said another; the same as a server's own default.</summary>
    public const double UsualFallbackRate = 0.02;

    /// <summary>The file's name in the spool's folder.</summary>
    public const string FileName = "plan.json";

    /// <summary>A plan that says nothing new is written again after so long, for the time that it holds.</summary>
    private static readonly TimeSpan WriteAgain = TimeSpan.FromMinutes(5);

    private sealed record Held(PlanAnswer Plan, DateTimeOffset Received)
    {
        public Dictionary<string, ServicePlan> Services { get; } =
        Plan.Services.ToDictionary(static one => one.Service, StringComparer.Ordinal);

        public bool HoldsAt(DateTimeOffset now) =>
            now - Received < TimeSpan.FromSeconds(Math.Clamp(Plan.HoldSeconds, 0, 1e7)) && now >= Received - TimeSpan.FromHours(1);
    }

    /// <summary>The rate of a service over a time.</summary>
    private sealed class Applied
    {
        public double Rate { get; set; }

        public long Begin { get; set; }

        public long Since { get; set; }

        /// <summary>Sum of rate times ticks from <see cref="Begin"/> to <see cref="Since"/>.</summary>
        public double RateTicks { get; set; }
    }

    private readonly string? file;
    private readonly TimeProvider time;
    private readonly Action<string> say;
    private readonly Lock gate = new();
    private readonly Dictionary<string, Applied> applied = new(StringComparer.Ordinal);
    private Held? held;
    private (string Text, DateTimeOffset When) written = ("", default);
    private string? trouble;
    private bool isUnplanned;

    /// <param name="folder">The spool's folder, for the plan to be kept in; null to keep it in memory.</param>
    /// <param name="say">Told what people should know, a line each.</param>
    public RecordingPlan(string? folder, TimeProvider time, Action<string> say)
    {
        file = folder is null ? null : Path.Combine(folder, FileName);
        (this.time, this.say) = (time, say);
        if (file is not null && File.Exists(file))
            Load(file);
    }

    /// <summary>The share of a service's samples that are taken, from 0 to 1.</summary>
    public double RateOf(string service)
    {
        if (Volatile.Read(ref isUnplanned))
            return 1;
        if (Volatile.Read(ref held) is not { } now)
            return UsualFallbackRate;
        double rate =
            now.HoldsAt(time.GetUtcNow()) && now.Services.TryGetValue(service, out ServicePlan? plan) ? plan.Rate : now.Plan.FallbackRate;
        return double.IsNaN(rate) ? 0 : Math.Clamp(rate, 0, 1);
    }

    /// <summary>Branches known of the service to the bytes of its code, as the last plan has it; null where it does not tell.</summary>
    public double? RatioOf(string service) =>
        Volatile.Read(ref held)?.Services.TryGetValue(service, out ServicePlan? plan) == true ? plan.Ratio : null;

    /// <summary>The labels that the server wants a service's profiles to have.</summary>
    public IReadOnlyDictionary<string, string> LabelsOf(string service) =>
        Volatile.Read(ref held)?.Services.TryGetValue(service, out ServicePlan? plan) == true
            ? plan.Labels : new Dictionary<string, string>();

    /// <summary>The mean rate of a service since <see cref="RestartMeans"/>, or since it was first asked for.</summary>
    public double MeanRateOf(string service)
    {
        lock (gate)
        {
            long now = time.GetTimestamp();
            if (!applied.TryGetValue(service, out Applied? rate))
            {
                applied.Add(service, new Applied { Rate = RateOf(service), Begin = now, Since = now });
                return RateOf(service);
            }
            Settle(service, rate, now);
            return now > rate.Begin ? Math.Min(1, rate.RateTicks / (now - rate.Begin)) : rate.Rate;
        }
    }

    /// <summary>Lets all means begin now: the server has heard of the time before.</summary>
    public void RestartMeans()
    {
        lock (gate)
            foreach ((string service, Applied rate) in applied)
                (rate.Begin, rate.Since, rate.RateTicks, rate.Rate) = (time.GetTimestamp(), time.GetTimestamp(), 0, RateOf(service));
    }

    /// <summary>Whether an answer can be taken over.</summary>
    internal static bool IsWhole(PlanAnswer plan) =>
        plan.Services is { } services && services.All(ServicePlan.IsWhole)
            && services.DistinctBy(static one => one.Service).Count() == services.Count;

    /// <summary>Takes over a plan that the server has just made.</summary>
    public void Take(PlanAnswer plan)
    {
        Change(new Held(plan, time.GetUtcNow()));
        Volatile.Write(ref isUnplanned, false);
        Save(plan);
    }

    /// <summary>Takes over what the answer to an upload says of one service; how long the whole plan holds does not change by it.</summary>
    public void Take(ServicePlan plan)
    {
        if (Volatile.Read(ref held) is not { } now)
            return;
        Change(new Held(now.Plan with { Services = [.. now.Plan.Services.Where(one => one.Service != plan.Service), plan] }, now.Received));
    }

    /// <summary>Takes note that the server makes no plans, as one of an earlier version: all is recorded that the budget allows.</summary>
    public void TakeNone(Uri server)
    {
        if (Interlocked.Exchange(ref isUnplanned, true))
            return;
        say($"{server} makes no plans, as servers of earlier versions: recording as much as the budget allows");
    }

    private void Change(Held plan)
    {
        lock (gate)
        {
            foreach ((string service, Applied rate) in applied)
                Settle(service, rate, time.GetTimestamp());
            Volatile.Write(ref held, plan);
            foreach ((string service, Applied rate) in applied)
                rate.Rate = RateOf(service);
        }
    }

    private void Settle(string service, Applied rate, long now)
    {
        rate.RateTicks += rate.Rate * (now - rate.Since);
        (rate.Since, rate.Rate) = (now, RateOf(service));
    }

    private void Load(string path)
    {
        try
        {
            if (JsonSerializer.Deserialize(File.ReadAllBytes(path), ApiJson.Default.PlanAnswer) is { } plan && IsWhole(plan))
                held = new Held(plan, File.GetLastWriteTimeUtc(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            say($"{path} is not used: {e.Message}; the server is asked for a new plan");
        }
    }

    private void Save(PlanAnswer plan)
    {
        if (file is null)
            return;
        string text = JsonSerializer.Serialize(plan, ApiJson.Default.PlanAnswer);
        DateTimeOffset now = time.GetUtcNow();
        if (text == written.Text && now - written.When < WriteAgain)
            return;
        string? failure = null;
        try
        {
            WholeFile.Write(file, System.Text.Encoding.UTF8.GetBytes(text));
            File.SetLastWriteTimeUtc(file, now.UtcDateTime);
            written = (text, now);
        }
        catch (Exception e) when (e is UserErrorException or IOException or UnauthorizedAccessException)
        {
            failure = $"the plan cannot be kept in {file} ({e.Message}); a restart while the server is away begins with the fallback rate";
        }
        if (failure is not null && failure != trouble)
            say(failure);
        trouble = failure;
    }
}
