using System.Text.RegularExpressions;

namespace Perforator.Agent.Services;

/// <summary>
/// What a pod's name tells of what made it. A Deployment's ReplicaSet adds a hash, whatever makes pods adds five characters or, a
/// StatefulSet, a number.
/// </summary>
/// <param name="Workload">The name of the Deployment, StatefulSet, DaemonSet, Job or CronJob.</param>
/// <param name="IsDeployment">Whether a ReplicaSet's hash was there.</param>
public sealed partial record PodName(string Workload, bool IsDeployment)
{
    /// <summary>Takes a pod's name apart; one that nothing made is its own workload.</summary>
    public static PodName Parse(string pod)
    {
        if (Deployment().Match(pod) is { Success: true } deployment)
            return new(deployment.Groups[1].Value, true);
        foreach (Regex form in (Regex[])[CronJob(), Generated(), StatefulSet()])
            if (form.Match(pod) is { Success: true } match)
                return new(match.Groups[1].Value, false);
        return new(pod, false);
    }

    // The alphabet is that of k8s.io/apimachinery/pkg/util/rand: no vowels, and none of 0, 1, 3; a hash is a 32-bit number in it, digit by
    // digit.
    [GeneratedRegex("^(.+)-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$")]
    private static partial Regex Deployment();

    [GeneratedRegex("^(.+)-[0-9]{8}-[bcdfghjklmnpqrstvwxz2456789]{5}$")]
    private static partial Regex CronJob();

    [GeneratedRegex("^(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}$")]
    private static partial Regex Generated();

    [GeneratedRegex("^(.+)-[0-9]{1,4}$")]
    private static partial Regex StatefulSet();
}
