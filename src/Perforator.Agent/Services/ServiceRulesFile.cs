using System.Globalization;
using Perforator.Branches;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace Perforator.Agent.Services;

/// <summary>
/// The file of <c>agent --services</c>. What makes no sense in itself is refused with line and key; a rule or label that can never be of
/// use is left out, said, and the rest holds.
/// </summary>
public static class ServiceRulesFile
{
    /// <summary>Reads the file.</summary>
    /// <param name="say">Told, a line each, what was left out.</param>
    /// <exception cref="UserErrorException">It cannot be read or understood.</exception>
    public static ServiceRules Load(string path, Action<string> say)
    {
        string text;
        try
        {
            text = File.ReadAllText(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"cannot read {path} (--services): {e.Message}", e);
        }
        YamlStream yaml = new();
        try
        {
            yaml.Load(new StringReader(text));
        }
        catch (YamlException e)
        {
            throw Wrong(path, e.Start.Line, e.Message.ReplaceLineEndings(" "));
        }
        if (yaml.Documents is not [{ RootNode: YamlMappingNode root }])
            throw Wrong(path, 1, "give the keys services, others and labels");
        return new Reader(path, say).Read(root);
    }

    private static UserErrorException Wrong(string path, long line, string problem) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{path}, line {line}: {problem} (docs/recording.md shows such a file)"));

    private sealed class Reader(string path, Action<string> say)
    {
        public ServiceRules Read(YamlMappingNode root)
        {
            List<ServiceRule> rules = [];
            Dictionary<string, string> labels = new(StringComparer.Ordinal);
            bool recordsOthers = true;
            foreach ((string key, YamlNode node) in Keys(root, "", "services", "others", "labels"))
                switch (key)
                {
                    case "others":
                        recordsOthers = Text(node, key) switch
                        {
                            "record" => true,
                            "ignore" => false,
                            string other => throw Wrong(path, node.Start.Line, $"others is record or ignore, not '{other}'"),
                        };
                        break;
                    case "labels":
                        foreach ((string name, YamlNode value) in Keys(Mapping(node, key), key))
                            if (!ProfileLabels.IsName(name))
                                LeaveOut(value, $"labels: '{name}' cannot name a label");
                            else if (Text(value, $"labels: {name}") is { Length: > 0 and <= ProfileLabels.MaxValueLength } label)
                                labels[name] = ProfileLabels.Printable(label);
                            else
                                LeaveOut(value, $"labels: {name} has 1 to {ProfileLabels.MaxValueLength} characters");
                        break;
                    default:
                        if (node is not YamlSequenceNode list)
                            throw Wrong(path, node.Start.Line, "services is a list");
                        rules.AddRange(list.Select(Rule).OfType<ServiceRule>());
                        break;
                }
            return new(rules, recordsOthers, labels);
        }

        private ServiceRule? Rule(YamlNode node)
        {
            string? name = null;
            bool isIgnored = false;
            List<(string Variable, string[] Patterns)> matches = [];
            string? problem = null;
            foreach ((string key, YamlNode value) in Keys(Mapping(node, "services"), "services: ", "name", "ignore", "match"))
                switch (key)
                {
                    case "name":
                        name = Text(value, "services: name");
                        break;
                    case "ignore":
                        isIgnored = Text(value, "services: ignore") switch
                        {
                            "true" => true,
                            "false" => false,
                            string other => throw Wrong(path, value.Start.Line, $"services: ignore is true or false, not '{other}'"),
                        };
                        break;
                    default:
                        foreach ((string variable, YamlNode pattern) in Keys(Mapping(value, "services: match"), "services: match: "))
                        {
                            if (!ProcessDescription.IsVariable(variable))
                                problem = $"services: match: no variable {variable}: there are {ProcessDescription.VariableNames}";
                            matches.Add((variable, pattern is YamlSequenceNode several
                                ? [.. several.Select(one => Text(one, variable))] : [Text(pattern, variable)]));
                        }
                        break;
                }
            if (isIgnored == name is not null)
                throw Wrong(path, node.Start.Line, "services: a rule has either a name or ignore: true");
            try
            {
                if (problem is null)
                    return new ServiceRule(name is null ? null : NameTemplate.Parse(name), matches);
            }
            catch (UserErrorException e)
            {
                problem = $"services: name: {e.Message}";
            }
            LeaveOut(node, problem);
            return null;
        }

        private void LeaveOut(YamlNode node, string problem) => say($"{path}, line {node.Start.Line}: {problem}; it is left out");

        private YamlMappingNode Mapping(YamlNode node, string key) =>
            node as YamlMappingNode ?? throw Wrong(path, node.Start.Line, $"{key}: keys with values are wanted");

        private string Text(YamlNode node, string key) =>
            node is YamlScalarNode { Value: { } value } ? value : throw Wrong(path, node.Start.Line, $"{key}: a text is wanted");

        private IEnumerable<(string Key, YamlNode Value)> Keys(YamlMappingNode mapping, string where, params string[] known)
        {
            foreach ((YamlNode key, YamlNode value) in mapping.Children)
            {
                string name = Text(key, where);
                yield return known.Length == 0 || known.Contains(name, StringComparer.Ordinal) ? (name, value)
                    : throw Wrong(path, key.Start.Line, $"{where}no key '{name}': there are {string.Join(", ", known)}");
            }
        }
    }
}
