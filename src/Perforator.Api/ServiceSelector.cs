using System.Text;
using System.Text.RegularExpressions;
using Perforator.Branches;

namespace Perforator.Api;

/// <summary>How a <see cref="LabelMatcher"/> compares.</summary>
public enum LabelComparison
{
    /// <summary><c>=</c></summary>
    Equal,

    /// <summary><c>!=</c></summary>
    NotEqual,

    /// <summary><c>=~</c></summary>
    Match,

    /// <summary><c>!~</c></summary>
    NoMatch,
}

/// <summary>One condition on a label. A label that is not there has the empty value.</summary>
public sealed class LabelMatcher
{
    /// <summary>The most states an expression's automaton may have: <c>(a{999}){999}</c> is refused rather than built.</summary>
    private const int MaxAutomaton = 10_000;

    private readonly Regex? expression;

    static LabelMatcher() => AppContext.SetData("REGEX_NONBACKTRACKING_MAX_AUTOMATA_SIZE", MaxAutomaton);

    /// <exception cref="UserErrorException">The value is not a regular expression where one is expected.</exception>
    internal LabelMatcher(string name, LabelComparison comparison, string value)
    {
        (Name, Comparison, Value) = (name, comparison, value);
        if (comparison is not (LabelComparison.Match or LabelComparison.NoMatch))
            return;
        try
        {
            // Whatever the expression, matching takes time linear in the value: it comes from strangers.
            expression = new Regex(
                $"^(?:{value})\\z",
                RegexOptions.NonBacktracking | RegexOptions.CultureInvariant | RegexOptions.Singleline | RegexOptions.ExplicitCapture);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new UserErrorException(
                $"{name}: '{ProfileLabels.Printable(value, 60)}' cannot be matched: {ProfileLabels.Printable(e.Message, 200)}", e);
        }
    }

    /// <summary>The label.</summary>
    public string Name { get; }

    /// <summary>How it is compared.</summary>
    public LabelComparison Comparison { get; }

    /// <summary>With what: a text, or an expression that has to match all of the label's value.</summary>
    public string Value { get; }

    /// <summary>Whether a label's value fulfils the condition.</summary>
    public bool Matches(string value) => Comparison switch
    {
        LabelComparison.Equal => value == Value,
        LabelComparison.NotEqual => value != Value,
        LabelComparison.Match => expression!.IsMatch(value),
        _ => !expression!.IsMatch(value),
    };

    /// <summary>The condition as it is written.</summary>
    public override string ToString()
    {
        string comparison =
            Comparison switch { LabelComparison.Equal => "=", LabelComparison.NotEqual => "!=", LabelComparison.Match => "=~", _ => "!~" };
        return $"{Name}{comparison}\"{Value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
    }
}

/// <summary>
/// Selects profiles of a service by their labels, written as Prometheus has it: <c>api{cluster=~"eu-.*",cpu!~"AMD.*",source="lbr"}</c>.
/// All conditions have to hold.
/// </summary>
public sealed class ServiceSelector
{
    /// <summary>The longest selector read, in characters.</summary>
    public const int MaxLength = 4096;

    private const int MaxMatchers = 32;

    private ServiceSelector(string service, IReadOnlyList<LabelMatcher> matchers) => (Service, Matchers) = (service, matchers);

    /// <summary>The service; empty when the text is of conditions alone.</summary>
    public string Service { get; }

    /// <summary>The conditions, in ordinal order of their text, each once.</summary>
    public IReadOnlyList<LabelMatcher> Matchers { get; }

    /// <summary>The conditions in braces, as <see cref="PgoRequest.Selector"/> takes them; null when there are none.</summary>
    public string? Conditions => Matchers.Count == 0 ? null : $"{{{string.Join(',', Matchers)}}}";

    /// <summary>Whether labels fulfil all conditions.</summary>
    public bool Matches(IReadOnlyDictionary<string, string> labels)
    {
        foreach (LabelMatcher matcher in Matchers)
            if (!matcher.Matches(labels.TryGetValue(matcher.Name, out string? value) ? value : ""))
                return false;
        return true;
    }

    /// <summary>The canonical form: equal for selectors of the same conditions.</summary>
    public override string ToString() => Service + Conditions;

    /// <summary>Reads <c>name</c>, <c>name{…}</c> or <c>{…}</c>.</summary>
    /// <exception cref="UserErrorException">The text is something else; the message says where.</exception>
    public static ServiceSelector Parse(string text)
    {
        if (text.Length > MaxLength)
            throw new UserErrorException($"a selector has at most {MaxLength} characters, not {text.Length}");
        Reader reader = new(text);
        string service = reader.ReadName();
        if (service.Length != 0 && !ProfileLabels.IsName(service))
            throw reader.Error("a service's name is expected");
        List<LabelMatcher> matchers = [];
        if (reader.TryTake('{'))
        {
            while (!reader.TryTake('}'))
            {
                matchers.Add(reader.ReadMatcher());
                if (matchers.Count > MaxMatchers)
                    throw reader.Error($"more than {MaxMatchers} conditions");
                if (!reader.TryTake(',') && !reader.IsAt('}'))
                    throw reader.Error("',' or '}' is expected");
            }
        }
        else if (service.Length == 0)
        {
            throw reader.Error("a service's name or '{' is expected");
        }
        reader.ExpectEnd();
        return new ServiceSelector(
            service, [.. matchers.DistinctBy(static m => m.ToString()).OrderBy(static m => m.ToString(), StringComparer.Ordinal)]);
    }

    private ref struct Reader(string text)
    {
        private int at;

        public bool IsAt(char c)
        {
            while (at < text.Length && text[at] == ' ')
                at++;
            return at < text.Length && text[at] == c;
        }

        public bool TryTake(char c)
        {
            if (!IsAt(c))
                return false;
            at++;
            return true;
        }

        public string ReadName()
        {
            IsAt('\0');
            int start = at;
            while (at < text.Length && (char.IsAsciiLetterOrDigit(text[at]) || text[at] is '.' or '_' or '-'))
                at++;
            return text[start..at];
        }

        public LabelMatcher ReadMatcher()
        {
            string name = ReadName();
            if (!ProfileLabels.IsName(name))
                throw Error("a label's name is expected");
            LabelComparison comparison =
                TryTake('!')
                    ? Take('~') ? LabelComparison.NoMatch : Take('=') ? LabelComparison.NotEqual : throw Error("'!=' or '!~' is expected")
                : TryTake('=') ? Take('~') ? LabelComparison.Match : LabelComparison.Equal
                : throw Error("=, !=, =~ or !~ is expected");
            string value = ReadQuoted();
            return value.Length <= ProfileLabels.MaxValueLength
                ? new LabelMatcher(name, comparison, value)
                : throw Error($"a value has at most {ProfileLabels.MaxValueLength} characters");
        }

        public void ExpectEnd()
        {
            IsAt('\0');
            if (at != text.Length)
                throw Error("nothing more is expected");
        }

        public readonly UserErrorException Error(string what) => new(
            $"'{ProfileLabels.Printable(text, 200)}' is not a selector: {what} at character {at + 1}; write for example api{{cluster=~\"eu-.*\",source=\"lbr\"}}");

        private bool Take(char c)
        {
            if (at >= text.Length || text[at] != c)
                return false;
            at++;
            return true;
        }

        private string ReadQuoted()
        {
            char quote = IsAt('"') || IsAt('\'') || IsAt('`') ? text[at++] : throw Error("a quoted value is expected");
            StringBuilder value = new();
            while (at < text.Length && text[at] != quote)
            {
                char c = text[at++];
                if (c == '\\' && quote != '`')
                    c = at < text.Length ? Unescape(text[at++]) : throw Error("the value does not end");
                value.Append(c);
            }
            return Take(quote) ? value.ToString() : throw Error("the value does not end");
        }

        private readonly char Unescape(char c) => c switch
        {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '\\' or '"' or '\'' => c,
            _ => throw Error($"\\{c} is not an escape (write \\\\{c} for an expression's \\{c}, or quote the value by `)"),
        };
    }
}
