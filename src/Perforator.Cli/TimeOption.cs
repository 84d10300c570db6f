using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Perforator.Cli;

/// <summary>Options that name a moment: a date and time, or how long ago.</summary>
internal static class TimeOption
{
    public static Option<DateTimeOffset?> Create(string name, string description) => new(name)
    {
        Description = $"{description}: a time such as 2026-03-01T10:00 (UTC), or how long ago, such as 90m, 24h or 7d.",
        HelpName = "TIME",
        CustomParser = Parse,
    };

    private static DateTimeOffset? Parse(ArgumentResult argument)
    {
        string text = argument.Tokens[0].Value;
        if (TryParse(text, DateTimeOffset.UtcNow, out DateTimeOffset time))
            return time;
        argument.AddError($"'{text}' is neither a time such as 2026-03-01T10:00 nor a span such as 24h");
        return null;
    }

    internal static bool TryParse(string text, DateTimeOffset now, out DateTimeOffset time)
    {
        if (text.Length > 1
            && uint.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out uint count))
        {
            TimeSpan? unit = text[^1] switch
            {
                's' => TimeSpan.FromSeconds(1),
                'm' => TimeSpan.FromMinutes(1),
                'h' => TimeSpan.FromHours(1),
                'd' => TimeSpan.FromDays(1),
                _ => null,
            };
            if (unit is { } u && count <= (now - DateTimeOffset.UnixEpoch) / u)
            {
                time = now - (count * u);
                return true;
            }
        }
        const DateTimeStyles Utc = DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal;
        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, Utc, out time);
    }
}
