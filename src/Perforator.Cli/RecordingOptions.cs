using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Perforator.Recording;
using Perforator.Recording.Software;

namespace Perforator.Cli;

/// <summary>The options that <c>record</c> and <c>agent</c> share.</summary>
internal static class RecordingOptions
{
    public static Option<BranchSource> Source() => new("--source")
    {
        Description = "Where branch stacks come from: auto (hardware where it has them, else software), lbr (Intel LBR, AMD LbrExtV2 or BRS, Arm BRBE), software.",
        HelpName = "auto|lbr|software",
        DefaultValueFactory = static _ => BranchSource.Auto,
        CustomParser = static result => result.Tokens[0].Value switch
        {
            "auto" => BranchSource.Auto,
            "lbr" => BranchSource.Lbr,
            "software" => BranchSource.Software,
            string other => Fail<BranchSource>(result, $"--source is auto, lbr or software, not '{other}'"),
        },
    };

    public static Option<bool> Kernel() => new("--kernel")
    {
        Description = "Record the kernel's branches too (:k): hardware only, with CAP_PERFMON or kernel.perf_event_paranoid below 2.",
    };

    private static readonly SoftwareRecorderOptions Default = new();

    public static Option<double?> MaxOverhead() => new("--max-overhead")
    {
        Description = $"How much of its CPU time the software recorder may cost a process, to record as much as it can for that; 100% lifts the bound. "
            + $"Default: what {Default.BranchesPerSecond:N0} taken branches per second of CPU time cost, at most {Default.MaxOverhead * 100:0.#}%.",
        HelpName = "PERCENT",
        CustomParser = static result => ParsePercent(result, "--max-overhead"),
    };

    /// <summary>The software recorder's options, given the value of --max-overhead if there is one.</summary>
    public static SoftwareRecorderOptions Recorder(double? maxOverhead) =>
        maxOverhead is { } bound ? Default with { MaxOverhead = bound, BranchesPerSecond = double.PositiveInfinity } : Default;

    /// <summary>A percentage such as 1% or 0.5, as a share.</summary>
    public static double? ParsePercent(ArgumentResult result, string option) =>
        double.TryParse(
            result.Tokens[0].Value.TrimEnd('%'), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double percent)
        && percent is > 0 and <= 100
            ? percent / 100
            : Fail<double?>(result, $"{option} is a percentage above 0 and up to 100, such as 5%, not '{result.Tokens[0].Value}'");

    /// <summary>A time such as 30, 30s, 5m, 2h or 7d.</summary>
    public static TimeSpan ParseTime(ArgumentResult result, string option)
    {
        string text = result.Tokens[0].Value;
        (double unit, string number) = text.Length == 0 ? (1, text) : text[^1] switch
        {
            's' => (1, text[..^1]),
            'm' => (60, text[..^1]),
            'h' => (3600, text[..^1]),
            'd' => (86400, text[..^1]),
            _ => (1.0, text),
        };
        return double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0
            && value * unit <= 1e9
            ? TimeSpan.FromSeconds(value * unit)
            : Fail<TimeSpan>(result, $"{option} is a time such as 30s, 5m or 2h, not '{text}'");
    }

    /// <summary>A number of bytes such as 500MB or 2GB, in powers of ten.</summary>
    public static long ParseSize(ArgumentResult result, string option)
    {
        string text = result.Tokens[0].Value;
        foreach ((string suffix, double unit) in ((string, double)[])[("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)])
            if (text.EndsWith(suffix, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(
                    text.AsSpan(0, text.Length - suffix.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture,
                    out double value)
                && value > 0 && value * unit <= 1e15)
                return (long)(value * unit);
        return Fail<long>(result, $"{option} is a size such as 500MB or 2GB, not '{text}'");
    }

    /// <summary>Parses every value of an option that may be given again; what it throws for the user becomes a usage error.</summary>
    public static T[] ParseEach<T>(ArgumentResult result, Func<string, T> parse)
    {
        try
        {
            return [.. result.Tokens.Select(token => parse(token.Value))];
        }
        catch (UserErrorException e)
        {
            return Fail<T[]>(result, e.Message);
        }
    }

    private static T Fail<T>(ArgumentResult result, string message)
    {
        result.AddError(message);
        return default!;
    }
}
