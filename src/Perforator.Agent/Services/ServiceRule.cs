using System.Globalization;
using System.IO.Enumeration;
using Perforator.Branches;

namespace Perforator.Agent.Services;

/// <summary>
/// Which processes make up a service, as a command line says it: <c>NAME=MATCH</c>, or <c>NAME</c> alone for <c>NAME=NAME</c>. MATCH is
/// <list type="bullet">
/// <item>a path, absolute: the executable's, as the process sees it;</item>
/// <item><c>unit:U</c>: a component of the control group's path, with or without <c>.service</c>;</item>
/// <item><c>cgroup:/P</c>: the control group's path or what it lies under;</item>
/// <item><c>pid:N</c>: one process;</item>
/// <item>anything else: the executable's file name, or the process's own name.</item>
/// </list>
/// In all but <c>pid:</c>, <c>*</c> stands for any characters and <c>?</c> for one.
/// </summary>
public sealed class ServiceRule
{
    private readonly Func<ProcessDescription, bool> matches;

    private ServiceRule(NameTemplate? name, Func<ProcessDescription, bool> matches)
    {
        Name = name;
        this.matches = matches;
    }

    /// <summary>A rule of a file.</summary>
    /// <param name="name">How the service is called; null when what fits is not to be recorded.</param>
    /// <param name="variables">Variables of a process, each with the patterns of which one must fit its value.</param>
    public ServiceRule(NameTemplate? name, IReadOnlyList<(string Variable, string[] Patterns)> variables)
        : this(name, process =>
            variables.All(v => Value(process, v.Variable, v.Patterns) is { } value && v.Patterns.Any(pattern => Like(pattern, value))))
    {
    }

    /// <summary>How the service is called; null when what fits is not to be recorded.</summary>
    public NameTemplate? Name { get; }

    /// <summary>Whether a process belongs to the service.</summary>
    public bool Matches(ProcessDescription process) => matches(process);

    /// <summary>Reads <c>NAME=MATCH</c> or <c>NAME</c>.</summary>
    /// <exception cref="UserErrorException">It is neither; the message says what is wrong with it.</exception>
    public static ServiceRule Parse(string text)
    {
        int equals = text.IndexOf('=', StringComparison.Ordinal);
        string name = equals < 0 ? text : text[..equals];
        string match = equals < 0 ? text : text[(equals + 1)..];
        if (!ProfileLabels.IsName(name))
            throw new UserErrorException(
                $"'{name}' cannot name a service: use letters, digits, '.', '_' and '-', beginning with a letter or digit");
        if (match.Length == 0)
            throw new UserErrorException(
                $"--service {text}: nothing after '='; give an executable's name or path, unit:NAME, cgroup:/PATH or pid:N");
        return new ServiceRule(NameTemplate.Parse(name), Matcher(text, match));
    }

    private static Func<ProcessDescription, bool> Matcher(string text, string match)
    {
        if (match.StartsWith("pid:", StringComparison.Ordinal))
        {
            if (!int.TryParse(match.AsSpan(4), NumberStyles.None, CultureInfo.InvariantCulture, out int processId))
                throw new UserErrorException($"--service {text}: '{match[4..]}' is not a process id");
            return p => p.Identity.Id == processId;
        }
        if (match.StartsWith("unit:", StringComparison.Ordinal))
        {
            string unit = match[5..];
            return p => p.Cgroup.Split('/').Any(c => Like(unit, c) || Like(unit + ".service", c));
        }
        if (match.StartsWith("cgroup:", StringComparison.Ordinal))
        {
            string group = match[7..].TrimEnd('/');
            return p => Like(group, p.Cgroup) || Like(group + "/*", p.Cgroup);
        }
        if (match.StartsWith('/'))
            return p => Like(match, p.Executable);
        return p => Like(match, p.ExecutableName) || Like(match, p.Name);
    }

    /// <summary>An executable is matched by its path where the pattern is of one.</summary>
    private static string? Value(ProcessDescription process, string variable, string[] patterns) =>
        process.Value(variable == "exe" && patterns[0].StartsWith('/') ? "path" : variable);

    private static bool Like(string pattern, string text) => FileSystemName.MatchesSimpleExpression(pattern, text, ignoreCase: false);
}
