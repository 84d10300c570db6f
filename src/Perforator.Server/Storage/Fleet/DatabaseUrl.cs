using Npgsql;

namespace Perforator.Server.Storage.Fleet;

/// <summary>
/// Reads the addresses of databases as libpq writes them: <c>postgres://user:password@host:port,host:port/database?sslmode=require</c>.
/// </summary>
internal static class DatabaseUrl
{
    private const string Example = "write for example postgres://perforator@db-1,db-2/perforator?sslmode=verify-full";

    /// <summary>The connection settings meant. What the address leaves out, PGPASSWORD and PGPASSFILE say.</summary>
    /// <exception cref="UserErrorException">It is another kind of text; the message does not repeat a password.</exception>
    public static NpgsqlConnectionStringBuilder Parse(string url)
    {
        string? rest = url.StartsWith("postgres://", StringComparison.Ordinal) ? url["postgres://".Length..]
            : url.StartsWith("postgresql://", StringComparison.Ordinal) ? url["postgresql://".Length..] : null;
        if (rest is null)
            throw new UserErrorException($"--database is a postgres:// address; {Example}");
        string query = Cut(ref rest, '?'), path = Cut(ref rest, '/');
        int at = rest.LastIndexOf('@');
        string hosts = rest[(at + 1)..], user = at >= 0 ? rest[..at] : "";
        string password = Cut(ref user, ':');
        if (hosts.Length == 0)
            throw new UserErrorException($"--database names no host; {Example}");
        NpgsqlConnectionStringBuilder settings = new()
        {
            Host = Uri.UnescapeDataString(hosts),
            Database = path.Length > 0 ? Uri.UnescapeDataString(path) : "perforator",
            ApplicationName = "perforator",
            MaxPoolSize = 50,
            Timeout = 5,
            CommandTimeout = 60,
            // An upload is ten statements, always the same, which the database need not parse and plan each time.
            MaxAutoPrepare = 60,
            AutoPrepareMinUsages = 3,
        };
        if (user.Length > 0)
            settings.Username = Uri.UnescapeDataString(user);
        if (password.Length > 0)
            settings.Password = Uri.UnescapeDataString(password);
        foreach (string pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            string name = pair, value = Uri.UnescapeDataString(Cut(ref name, '='));
            try
            {
                settings[NameOf(name)] = name == "sslmode" ? value.Replace("-", "", StringComparison.Ordinal) : value;
            }
            catch (Exception e) when (e is ArgumentException or KeyNotFoundException or FormatException or InvalidCastException)
            {
                throw new UserErrorException($"'{name}' in --database is not known, or has not the value {value}; {Example}", e);
            }
        }
        return settings;
    }

    /// <summary>libpq's names are Npgsql's but for these.</summary>
    private static string NameOf(string name) => name switch
    {
        "sslmode" => "SSL Mode",
        "sslrootcert" => "Root Certificate",
        "sslcert" => "SSL Certificate",
        "sslkey" => "SSL Key",
        "connect_timeout" => "Timeout",
        "application_name" => "Application Name",
        _ => name.Replace('_', ' '),
    };

    /// <summary>Takes what stands behind a separator off a text, and gives it.</summary>
    private static string Cut(ref string text, char separator)
    {
        int at = text.IndexOf(separator);
        if (at < 0)
            return "";
        string behind = text[(at + 1)..];
        text = text[..at];
        return behind;
    }
}
