using System.Text.Json.Serialization;
using Perforator.Generation;

namespace Perforator.Server.Demand;

/// <summary>All that a plan needs to know of a build of a service.</summary>
internal sealed record BuildFigures
{
    /// <summary>Of a build without code that is known, so many branches are asked for at first.</summary>
    public const double FirstWanted = 1e6;

    /// <summary>No build is known by fewer branches, and from a quarter of that on halves can be compared.</summary>
    public const double Least = 1e5;

    /// <summary>
    /// So many branches for each byte of code, or of <see cref="FirstWanted"/>, are enough however much halves differ: it is not chance
    /// then, but hosts that do different things.
    /// </summary>
    public const double MostPerByte = 32;

    /// <summary>Taken branches in a second of a host at rate 1 that are reckoned with until hosts have told: a quarter of a CPU.</summary>
    public const double UsualBranchesPerHostSecond = 10_000;

    /// <summary>
    /// What is asked of a build that is not sufficient is this part at least of what is enough: the end would be approached ever more
    /// slowly otherwise.
    /// </summary>
    private const double LeastMissing = 1 / 4.0;

    /// <summary>The trickle of a window is this part of what a build took to be known.</summary>
    public const double TricklePart = 1 / 8.0;

    /// <summary>Branches behind what is known, each as often as it was seen.</summary>
    public double Branches { get; init; }

    /// <summary>Of a build that is sufficient, the number of branches that made it so.</summary>
    public double Basis { get; init; }

    /// <summary>Branches of the trickle since it was last compared.</summary>
    public double Fresh { get; init; }

    /// <summary>Overlap of two halves of what is known, from 0 to 1 (<see cref="Convergence"/>).</summary>
    public double Overlap { get; init; }

    /// <summary>The build's share of the branches in the uploads that it is in.</summary>
    public double Share { get; init; }

    /// <summary>Bytes of code; 0 while the server has no binary.</summary>
    public double ExecutableBytes { get; init; }

    /// <summary>Branches known of it to the bytes of its code; null without its binary.</summary>
    [JsonIgnore]
    public double? Ratio => ExecutableBytes > 0 ? Branches / ExecutableBytes : null;

    /// <summary>Hosts that run it.</summary>
    public long Hosts { get; init; }

    /// <summary>Taken branches in a second of a host at rate 1; 0 until hosts have told.</summary>
    public double BranchesPerHostSecond { get; init; }

    /// <summary>Whether hosts say that they run it as an executable, rather than that it was seen in uploads.</summary>
    public bool IsExecutable { get; init; }

    /// <summary>Whether it is known well enough: a trickle suffices.</summary>
    public bool IsSufficient { get; init; }

    /// <summary>Whether it was known before, and changed.</summary>
    public bool HasChanged { get; init; }

    /// <summary>Since when it is what <see cref="IsSufficient"/> says.</summary>
    public DateTimeOffset Since { get; init; }

    /// <summary>What a build of which nothing is known is taken for.</summary>
    public static readonly BuildFigures Unknown = new() { IsExecutable = true };

    /// <summary>
    /// The number of branches by which a build is known well enough. Halves of n branches that overlap by o differ by 1 - o, and what
    /// chance makes of it falls as 1/√n: so n·((1 - o) / (1 - <see cref="Convergence.Enough"/>))², but no fewer than there are bytes of
    /// code.
    /// </summary>
    [JsonIgnore]
    public double Enough
    {
        get
        {
            double least = Math.Max(ExecutableBytes, Least), most = MostPerByte * Math.Max(ExecutableBytes, FirstWanted);
            if (Branches < Least / 4)
                return Math.Max(ExecutableBytes, FirstWanted);
            double distance = (1 - Overlap) / (1 - Convergence.Enough);
            return Math.Clamp(Branches * distance * distance, least, most);
        }
    }

    /// <summary>What is asked of the hosts that run it.</summary>
    public Draw DrawOf(DemandRules rules)
    {
        double hosts = Math.Max(1, Hosts);
        double fleet = hosts * (BranchesPerHostSecond > 0 ? BranchesPerHostSecond : UsualBranchesPerHostSecond);
        double share = IsSufficient
            ? Basis * TricklePart / (rules.TrickleWindow.TotalSeconds * fleet)
            : Math.Max(LeastMissing * Enough, Enough - Branches) / (rules.CoverWithin.TotalSeconds * fleet);
        share = Math.Min(1, share);
        double least = Math.Min(hosts, IsSufficient ? Draw.LeastOfTrickle : Draw.Least);
        double drawn = Math.Clamp(share * hosts / Draw.UsualRate, least, hosts);
        return new Draw(drawn / hosts, Math.Min(1, share * hosts / drawn));
    }
}

/// <summary>Which hosts record a build, and at what rate.</summary>
/// <param name="Hosts">The share of its hosts that record it, from 0 to 1; which ones is drawn by hash, and anew each hour.</param>
/// <param name="Rate">Their rate, from 0 to 1: the share of what their own budget would let them record.</param>
internal readonly record struct Draw(double Hosts, double Rate)
{
    /// <summary>So many hosts at least bring what is new, where there are as many, so that no one of them carries a profile.</summary>
    public const double Least = 32;

    /// <summary>So many hosts at least bring the trickle of an hour.</summary>
    public const double LeastOfTrickle = 8;

    /// <summary>Where hosts enough run a build, none is asked for more than this rate.</summary>
    public const double UsualRate = 0.25;

    /// <summary>The rate of a host, 0 where it is not drawn. All servers, and every answer within an hour, say the same.</summary>
    public double RateOf(string host, string service, BuildId build, DateTimeOffset now) =>
        Hosts >= 1 || StableHash.Share(
            StableHash.Of(
                host, service, build.ToString(),
                (now.ToUnixTimeSeconds() / 3600).ToString(System.Globalization.CultureInfo.InvariantCulture))) < Hosts
            ? Rate
            : 0;
}
