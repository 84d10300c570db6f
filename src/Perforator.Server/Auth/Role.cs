namespace Perforator.Server.Auth;

/// <summary>What a caller may do; docs/security.md has the table.</summary>
public enum Role
{
    /// <summary>Send profiles and binaries, as agents and build jobs do.</summary>
    Upload,

    /// <summary>See services, generate and fetch profiles.</summary>
    Read,

    /// <summary>All of it, and what changes what others get: names of profiles, deletion.</summary>
    Admin,
}

/// <summary>Roles on the services whose name fits a pattern.</summary>
/// <param name="Roles">What is allowed; <see cref="Role.Admin"/> includes the others.</param>
/// <param name="Services">Patterns of service names, in which '*' stands for any text; one of them must fit.</param>
public sealed record Grant(IReadOnlyList<Role> Roles, IReadOnlyList<string> Services)
{
    /// <summary>Whether it gives a role at all, on whatever services.</summary>
    public bool Gives(Role role) => Roles.Contains(role) || Roles.Contains(Role.Admin);

    /// <summary>Whether it gives a role on a service.</summary>
    public bool Gives(Role role, string service) => Gives(role) && Services.Any(pattern => NamePattern.Fits(pattern, service));
}

/// <summary>Who sends a request.</summary>
/// <param name="Name">How the audit log names it.</param>
/// <param name="Grants">What it may do.</param>
public sealed record Caller(string Name, IReadOnlyList<Grant> Grants)
{
    /// <summary>Everybody, where the server asks nobody who they are.</summary>
    public static readonly Caller Anybody = new("anybody", [new Grant([Role.Admin], ["*"])]);

    /// <summary>Whether it has a role on some service.</summary>
    public bool Gives(Role role) => Grants.Any(grant => grant.Gives(role));

    /// <summary>Whether it has a role on this service.</summary>
    public bool Gives(Role role, string service) => Grants.Any(grant => grant.Gives(role, service));
}

/// <summary>Patterns of names in which '*' stands for any text.</summary>
public static class NamePattern
{
    /// <summary>Whether the whole name fits. Takes time linear in the product of both lengths at most, whatever the pattern.</summary>
    public static bool Fits(string pattern, string name)
    {
        int p = 0, n = 0, star = -1, resume = 0;
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                (star, resume) = (p++, n);
            }
            else if (p < pattern.Length && pattern[p] == name[n])
            {
                p++;
                n++;
            }
            else if (star >= 0)
            {
                (p, n) = (star + 1, ++resume);
            }
            else
            {
                return false;
            }
        }
        return pattern.AsSpan(p).TrimStart('*').IsEmpty;
    }
}
