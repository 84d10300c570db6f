using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json.Nodes;
using Perforator.Generation;

namespace Perforator.Cli;

/// <summary>The options that say what a profile must be like to be given out.</summary>
internal sealed class GateOptions
{
    private readonly Option<double?> minRatio = new("--min-ratio")
    {
        Description = "Exit with 3, and give no profile, when TakenBranchesToExecutableBytesRatio is below this.",
        HelpName = "R",
    };

    private readonly Option<double?> minCoverage = new("--min-coverage")
    {
        Description = "Likewise when less than this share of the branches can be used, or of the samples is in hot functions (0 to 1).",
        HelpName = "SHARE",
    };

    private readonly Option<double?> minOverlap = new("--min-overlap")
    {
        Description = "Likewise when two halves of the data overlap by less than this (0 to 1).",
        HelpName = "SHARE",
    };

    private readonly Option<DateTimeOffset?> maxAge = new("--max-age")
    {
        Description = "Likewise when the newest data are older than this, such as 36h or 7d.",
        HelpName = "SPAN",
    };

    private readonly Option<int?> minHosts = new("--min-hosts")
    {
        Description = "Likewise when the data are of fewer hosts.",
        HelpName = "N",
    };

    private readonly DateTimeOffset now = DateTimeOffset.UtcNow;

    public GateOptions() => maxAge.CustomParser = argument =>
    {
        string text = argument.Tokens[0].Value;
        if (text is [.., 's' or 'm' or 'h' or 'd'] && TimeOption.TryParse(text, now, out DateTimeOffset oldest) && oldest < now)
            return oldest;
        argument.AddError($"--max-age '{text}' is not a span above 0 such as 36h or 7d");
        return null;
    };

    /// <summary>All of them.</summary>
    public IReadOnlyList<Option> All => [minRatio, minCoverage, minOverlap, maxAge, minHosts];

    /// <summary>Gives a verb the options, and has it refuse gates that contradict each other or what is asked for.</summary>
    public void AddTo(Command verb, ProfileChoiceOptions choice)
    {
        foreach (Option option in All)
            verb.Add(option);
        verb.Check(result => Check(result, choice));
    }

    private void Check(CommandResult result, ProfileChoiceOptions choice)
    {
        if (result.GetValue(minRatio) is { } ratio && !(ratio >= 0 && double.IsFinite(ratio)))
            result.AddError("--min-ratio is 0 or more.");
        foreach (Option<double?> option in (Option<double?>[])[minCoverage, minOverlap])
            if (result.GetValue(option) is { } share && !(share is >= 0 and <= 1))
                result.AddError($"{option.Name} is a share, from 0 to 1.");
        if (result.GetValue(minHosts) is { } hosts && hosts < 0)
            result.AddError("--min-hosts is 0 or more.");
        if (result.GetResult(choice.Binary) is not null)
            foreach (Option option in (Option[])[minOverlap, maxAge, minHosts])
                if (result.GetResult(option) is not null)
                    result.AddError(
                        $"--binary generates of sums, which do not tell hosts and times; leave {option.Name} out, or --binary.");
        if (result.GetValue(maxAge) is { } oldest && result.GetValue(choice.Until) is { } until && until <= oldest)
            result.AddError("--until asks for data older than --max-age allows: no profile can be given.");
        if (result.GetValue(minHosts) > 1 && result.GetValue(choice.Service) is { } service && NamesOneHost(service))
            result.AddError("--min-hosts asks for several hosts, and the selector for one: no profile can be given.");
    }

    private static bool NamesOneHost(string service)
    {
        try
        {
            return Api.ServiceSelector.Parse(service).Matchers.Any(
                static matcher => matcher.Name == Branches.ProfileLabels.Host && matcher.Comparison == Api.LabelComparison.Equal);
        }
        catch (UserErrorException)
        {
            return false;
        }
    }

    private ProfileGates Of(ParseResult parsed) => new(
        parsed.GetValue(minRatio), parsed.GetValue(minCoverage), parsed.GetValue(minOverlap),
        parsed.GetValue(maxAge) is { } oldest ? now - oldest : null, parsed.GetValue(minHosts));

    /// <summary>The gates that were given, as the server is told; null for none.</summary>
    public Api.PgoGates? Message(ParseResult parsed) => Of(parsed) is var gates && gates == new ProfileGates() ? null
        : new Api.PgoGates(gates.MinRatio, gates.MinCoverage, gates.MinOverlap, gates.MaxAge?.TotalSeconds, gates.MinHosts);

    /// <summary>What of the gates that were given is not met, a sentence each.</summary>
    public IEnumerable<string> Failures(ParseResult parsed, JsonObject report) => Of(parsed).Failures(report, now);
}
