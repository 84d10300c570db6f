using System.Text;
using Perforator.Branches;

namespace Perforator.Agent.Services;

/// <summary>A service's name with parts that each process fills in, such as <c>{k8s.namespace}.{k8s.deployment}</c>.</summary>
public sealed class NameTemplate
{
    /// <summary>Text at even places, variables at odd ones.</summary>
    private readonly string[] parts;

    private NameTemplate(string[] parts) => this.parts = parts;

    /// <summary>The name, where it is the same for all; null where processes fill in parts.</summary>
    public string? Fixed => parts.Length == 1 ? parts[0] : null;

    /// <summary>Reads a template.</summary>
    /// <exception cref="UserErrorException">It can make no service's name.</exception>
    public static NameTemplate Parse(string text)
    {
        string[] parts = text.Split('{', '}');
        bool isBalanced = text.Count(static c => c == '{') == text.Count(static c => c == '}') && parts.Length % 2 == 1;
        if (!isBalanced || text.Length == 0)
            throw new UserErrorException(
                $"'{text}' is no name: give letters, digits, '.', '_' and '-', and variables such as {{exe}} or {{k8s.deployment}}");
        for (int i = 0; i < parts.Length; i++)
            if (i % 2 == 1 && !ProcessDescription.IsVariable(parts[i]))
                throw new UserErrorException($"no variable {{{parts[i]}}}: there are {ProcessDescription.VariableNames}");
            else if (i % 2 == 0 && parts[i].Any(static c => !char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_' or '-')))
                throw new UserErrorException($"'{parts[i]}' cannot be in a service's name: letters, digits, '.', '_' and '-' can");
        if (parts.Length == 1 && !ProfileLabels.IsName(text))
            throw new UserErrorException(
                $"'{text}' cannot name a service: a name begins with a letter or digit and has at most {ProfileLabels.MaxNameLength} characters");
        return new(parts);
    }

    /// <summary>The name that a process makes; null where it lacks one of the parts.</summary>
    public string? For(ProcessDescription process)
    {
        StringBuilder name = new();
        for (int i = 0; i < parts.Length; i++)
            if (i % 2 == 0)
                name.Append(parts[i]);
            else if (process.Value(parts[i]) is { Length: > 0 } value)
                name.Append(value);
            else
                return null;
        return Nameable(name.ToString());
    }

    /// <summary>A text as a service's name: what a name cannot have becomes '_', or goes where it stands first.</summary>
    public static string Nameable(string wanted)
    {
        StringBuilder name = new();
        foreach (char c in wanted[..Math.Min(wanted.Length, ProfileLabels.MaxNameLength)])
            if (char.IsAsciiLetterOrDigit(c) || (name.Length > 0 && c is '.' or '_' or '-'))
                name.Append(c);
            else if (name.Length > 0)
                name.Append('_');
        return name.Length == 0 ? "unnamed" : name.ToString();
    }
}
