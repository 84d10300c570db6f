using System.Data;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using DbUp.Engine;

namespace Perforator.Server.Storage.Embedded;

/// <summary>
/// Takes over what the first schema has, a table of uploads with their labels in one text (<c>name=value</c> a line) and one of what they
/// have of each build, and drops it.
/// </summary>
internal sealed class SchemaOne : IScript
{
    /// <summary>The user_version of that schema; the present one has the next, so that a server of that time refuses it.</summary>
    public const long Version = 1;

    public string ProvideScript(Func<IDbCommand> dbCommandFactory)
    {
        string setVersion = $"PRAGMA user_version={Version + 1};";
        using IDbCommand command = dbCommandFactory();
        command.CommandText = "SELECT count(*) FROM sqlite_master WHERE name IN ('profile', 'build')";
        if ((long)command.ExecuteScalar()! != 2)
            return setVersion;
        foreach ((string text, string json) in LabelTexts(command))
        {
            command.CommandText = "INSERT INTO label_set(hash, json) VALUES (@hash, @json) ON CONFLICT DO NOTHING";
            Set(command, "@hash", Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(json))));
            Set(command, "@json", json);
            command.ExecuteNonQuery();
            command.CommandText = "CREATE TEMP TABLE IF NOT EXISTS old_labels(text TEXT PRIMARY KEY, json TEXT); INSERT INTO old_labels VALUES (@text, @json)";
            Set(command, "@text", text);
            command.ExecuteNonQuery();
        }
        // Nobody's clock is ahead of the server's: times after the reception are the reception's. Days are counted since 0001-01-01.
        return $"""
            INSERT INTO service(name, uploads, samples, last_us)
                SELECT service, count(*), CAST(min(total(samples), 9223372036854774784.0) AS INTEGER), max(min(end_us, received_us)) FROM profile GROUP BY service;
            INSERT INTO upload(id, hash, service, labels, start_us, end_us, received_us, samples, bytes)
                SELECT p.id, p.hash, s.id, l.id, min(p.start_us, p.received_us), min(p.end_us, p.received_us), p.received_us, p.samples, 0
                FROM profile p JOIN service s ON s.name = p.service JOIN old_labels o ON o.text = p.labels JOIN label_set l ON l.json = o.json;
            INSERT INTO service_build SELECT DISTINCT s.id, b.build_id FROM build b JOIN service s ON s.name = b.service;
            INSERT INTO build_day
                SELECT u.service, b.build_id, u.labels, u.end_us / 86400000000 + {UnixMicros.ToDay(0).DayNumber}, b.path, count(*),
                    CAST(min(total(b.samples), 9223372036854774784.0) AS INTEGER), CAST(min(total(b.branches), 9223372036854774784.0) AS INTEGER),
                    min(u.start_us), max(u.end_us)
                FROM build b JOIN upload u ON u.id = b.profile GROUP BY 1, 2, 3, 4;
            DROP TABLE build;
            DROP TABLE profile;
            {setVersion}
            """;
    }

    private static List<(string Text, string Json)> LabelTexts(IDbCommand command)
    {
        command.CommandText = "SELECT DISTINCT labels FROM profile";
        using IDataReader reader = command.ExecuteReader();
        List<(string, string)> texts = [];
        while (reader.Read())
        {
            string text = reader.GetString(0);
            SortedDictionary<string, string> labels = new(StringComparer.Ordinal);
            foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                labels[line[..line.IndexOf('=', StringComparison.Ordinal)]] = line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..];
            texts.Add((text, JsonSerializer.Serialize(labels)));
        }
        return texts;
    }

    private static void Set(IDbCommand command, string name, string value)
    {
        if (!command.Parameters.Contains(name))
        {
            IDbDataParameter parameter = command.CreateParameter();
            parameter.ParameterName = name;
            command.Parameters.Add(parameter);
        }
        ((IDbDataParameter)command.Parameters[name]!).Value = value;
    }
}
