using System.Globalization;
using Perforator.Branches;
using Perforator.Server.Auth;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Perforator.Server.Demand;

/// <summary>What a file says of services whose name fits a pattern.</summary>
/// <param name="Match">The pattern; '*' stands for any text.</param>
/// <param name="Rate">The rate of every host, from 0 to 1; null where demand decides.</param>
/// <param name="Labels">Labels for the services' profiles.</param>
internal sealed record ServiceEnrolment(string Match, double? Rate, IReadOnlyDictionary<string, string> Labels)
{
    /// <summary>No labels.</summary>
    public static readonly IReadOnlyDictionary<string, string> NoLabels = new SortedDictionary<string, string>(StringComparer.Ordinal);
}

/// <summary>
/// Services, pinned rates and labels, and the times of demand, as the file of <c>serve --enrol</c> has them; docs/server.md describes it.
/// </summary>
/// <param name="Services">The first whose pattern fits counts.</param>
/// <param name="Rules">The times.</param>
internal sealed record Enrolment(IReadOnlyList<ServiceEnrolment> Services, DemandRules Rules)
{
    /// <summary>That of a server without a file: demand decides on all.</summary>
    public static readonly Enrolment Default = new([], new DemandRules());

    /// <summary>What is said of a service; null when nothing is.</summary>
    public ServiceEnrolment? Of(string service) => Services.FirstOrDefault(one => NamePattern.Fits(one.Match, service));

    /// <summary>Reads and checks a file.</summary>
    /// <exception cref="UserErrorException">It cannot be read or says what makes no sense; the message names file, line and
    /// key.</exception>
    public static Enrolment Load(string path)
    {
        try
        {
            YamlStream yaml = [];
            using (StreamReader text = new(path))
                yaml.Load(text);
            return yaml.Documents.Count == 0 ? Default : new Reader(path).Read(yaml.Documents[0].RootNode);
        }
        catch (YamlException e)
        {
            throw new UserErrorException($"{path} (--enrol), line {e.Start.Line}: {e.Message.ReplaceLineEndings(" ")}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot read {path} (--enrol): {e.Message}", e);
        }
    }

    /// <summary>Walks the file's nodes, which know their lines.</summary>
    private sealed class Reader(string path)
    {
        public Enrolment Read(YamlNode root)
        {
            List<ServiceEnrolment> services = [];
            DemandRules rules = new();
            foreach ((string key, YamlNode value) in Members(root, "the file"))
                switch (key)
                {
                    case "services" when value is YamlSequenceNode list:
                        services.AddRange(list.Children.Select(Service));
                        break;
                    case "services":
                        throw Wrong(value, key, "is a list of services, each with match");
                    case "plan":
                        rules = Rules(value);
                        break;
                    default:
                        throw Wrong(value, key, "is not known here; there are services and plan");
                }
            return new Enrolment(services, rules);
        }

        private ServiceEnrolment Service(YamlNode node)
        {
            (string? match, double? rate, IReadOnlyDictionary<string, string> labels) = (null, null, ServiceEnrolment.NoLabels);
            foreach ((string key, YamlNode value) in Members(node, "a service"))
                switch (key)
                {
                    case "match":
                        match = Text(key, value);
                        break;
                    case "rate":
                        rate = Rate(key, value);
                        break;
                    case "labels":
                        labels = Labels(value);
                        break;
                    default:
                        throw Wrong(value, key, "is not known of a service; there are match, rate and labels");
                }
            return match is { Length: > 0 }
                ? new ServiceEnrolment(match, rate, labels)
                : throw Wrong(node, "match", "is missing: a service's name, in which * stands for any text");
        }

        private SortedDictionary<string, string> Labels(YamlNode node)
        {
            SortedDictionary<string, string> labels = new(StringComparer.Ordinal);
            foreach ((string key, YamlNode value) in Members(node, "labels"))
            {
                if (!ProfileLabels.IsName(key)
                    || key is ProfileLabels.Service or ProfileLabels.Host or ProfileLabels.Cpu or ProfileLabels.Source)
                    throw Wrong(value, key, "cannot be a label here: letters, digits, '.', '_' and '-' are, but not service, host, cpu and source, which are the agent's own");
                labels[key] = Text(key, value) is { Length: > 0 and <= ProfileLabels.MaxValueLength } text
                    ? ProfileLabels.Printable(text)
                    : throw Wrong(value, key, $"has no value, or one of more than {ProfileLabels.MaxValueLength} characters");
            }
            return labels;
        }

        private DemandRules Rules(YamlNode node)
        {
            DemandRules rules = new();
            foreach ((string key, YamlNode value) in Members(node, "plan"))
                rules = key switch
                {
                    "cover-within" => rules with { CoverWithin = Time(key, value) },
                    "trickle-window" => rules with { TrickleWindow = Time(key, value) },
                    "hold" => rules with { Hold = Time(key, value) },
                    "fallback-rate" => rules with { FallbackRate = Rate(key, value) },
                    "update" => rules with { Update = Time(key, value) },
                    _ => throw Wrong(
                        value, key, "is not known of plan; there are cover-within, trickle-window, hold, fallback-rate and update"),
                };
            return rules;
        }

        private IEnumerable<(string Key, YamlNode Value)> Members(YamlNode node, string what) => node is YamlMappingNode members
            ? members.Children.Select(member => (Text("a key", member.Key), member.Value))
            : throw Wrong(node, what, "is a list of keys with values, such as 'match: search'");

        private string Text(string key, YamlNode node) =>
            node is YamlScalarNode { Value: { } text } ? text : throw Wrong(node, key, "has no simple value");

        private double Rate(string key, YamlNode node) =>
            double.TryParse(Text(key, node), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double rate)
                && rate is >= 0 and <= 1
                ? rate
                : throw Wrong(node, key, $"is from 0, nothing, to 1, all that hosts' budgets allow; not '{Text(key, node)}'");

        private TimeSpan Time(string key, YamlNode node)
        {
            string text = Text(key, node);
            double unit = text.Length == 0 ? 0 : text[^1] switch { 's' => 1, 'm' => 60, 'h' => 3600, _ => 0 };
            return unit != 0 && double.TryParse(text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
                && number > 0 && number * unit < 1e7
                ? TimeSpan.FromSeconds(number * unit)
                : throw Wrong(node, key, $"is a time such as 30s, 5m or 2h, not '{text}'");
        }

        private UserErrorException Wrong(YamlNode node, string key, string problem) =>
            new($"{path} (--enrol), line {node.Start.Line}: {key} {problem}");
    }
}
