using Perforator.SampleProfiles;

namespace Perforator.Generation;

/// <summary>A function whose counts find no place in the build they are to be used for.</summary>
/// <param name="Function">Its name.</param>
/// <param name="Samples">How many samples of it are lost.</param>
/// <param name="Reason">"gone", "control flow changed" (checksum) or "lines moved".</param>
public sealed record FitLoss(string Function, ulong Samples, string Reason);

/// <summary>
/// How far a profile fits a build: the share of its counts whose function is still there with the same checksum (pseudo probes), or
/// whose line is still one that the function has code for (lines). The compiler drops or misplaces the rest.
/// </summary>
/// <param name="FittingSamples">Samples that find their place.</param>
/// <param name="TotalSamples">All samples.</param>
/// <param name="Losses">The functions that carry most of the loss, largest first.</param>
public sealed record ProfileFit(ulong FittingSamples, ulong TotalSamples, IReadOnlyList<FitLoss> Losses)
{
    /// <summary>The share of samples that fit, from 0 to 1; 1 for an empty profile.</summary>
    public double Share => TotalSamples == 0 ? 1 : (double)FittingSamples / TotalSamples;

    /// <summary>How many functions <see cref="Losses"/> names at the most.</summary>
    public const int MaxLosses = 20;

    /// <summary>
    /// How far a profile fits another build of the same source, as far as that build's own profile shows its code: functions that it was
    /// not seen to run are left out, as they may be there or not.
    /// </summary>
    /// <param name="profile">The profile to be used.</param>
    /// <param name="build">The profile generated for the build, in which all code of touched functions has a count, be it 0.</param>
    internal static ProfileFit Between(SampleProfile profile, SampleProfile build)
    {
        SourceShape shape = new();
        foreach (FunctionSamples function in build.Functions.Values)
            shape.Add(function);
        return Of(profile, shape, skipsUnknown: true);
    }

    /// <summary>How far a profile fits a binary, by all of the binary's code.</summary>
    /// <exception cref="UserErrorException">The binary's probes cannot be read.</exception>
    public static ProfileFit Of(SampleProfile profile, ProfiledBinary binary) =>
        Of(profile, binary.Shape(profile.IsProbeBased), skipsUnknown: false);

    private static ProfileFit Of(SampleProfile profile, SourceShape shape, bool skipsUnknown)
    {
        ulong fitting = 0, total = 0;
        Dictionary<(string, string), ulong> losses = [];
        Stack<FunctionSamples> open = new(profile.Functions.Values);
        while (open.TryPop(out FunctionSamples? function))
        {
            bool counts = !skipsUnknown || shape.Has(function.Name);
            foreach ((LineLocation location, BodySample body) in function.Body)
            {
                if (!counts)
                    break;
                total = SampleCount.Add(total, body.Samples);
                string? reason = shape.WhyNot(function, location);
                if (reason is null)
                    fitting = SampleCount.Add(fitting, body.Samples);
                else if (body.Samples > 0)
                    losses[(function.Name, reason)] = SampleCount.Add(losses.GetValueOrDefault((function.Name, reason)), body.Samples);
            }
            foreach ((_, NameMap<FunctionSamples> callees) in function.Callsites)
                foreach ((_, FunctionSamples callee) in callees)
                    open.Push(callee);
        }
        return new ProfileFit(fitting, total,
        [
            .. losses.OrderByDescending(static loss => loss.Value).ThenBy(static loss => loss.Key).Take(MaxLosses)
                .Select(static loss => new FitLoss(loss.Key.Item1, loss.Value, loss.Key.Item2)),
        ]);
    }
}

/// <summary>Which functions a build has, with their checksums or the lines that they have code for, inlined copies included.</summary>
internal sealed class SourceShape
{
    private readonly Dictionary<string, (ulong Checksum, HashSet<uint> Lines)> functions = new(StringComparer.Ordinal);

    /// <summary>Notes a function's checksum; 0 when it has none.</summary>
    public void AddFunction(string name, ulong checksum)
    {
        if (!functions.TryGetValue(name, out (ulong Checksum, HashSet<uint> Lines) known))
            functions.Add(name, (checksum, []));
        else if (known.Checksum == 0)
            functions[name] = (checksum, known.Lines);
    }

    /// <summary>Notes that a function has code for a line.</summary>
    /// <param name="offset">The line's offset from the function's start line.</param>
    public void AddLine(string name, uint offset)
    {
        AddFunction(name, 0);
        functions[name].Lines.Add(offset);
    }

    /// <summary>Notes all that a profile of the build knows, with what is inlined.</summary>
    public void Add(FunctionSamples top)
    {
        Stack<FunctionSamples> open = new([top]);
        while (open.TryPop(out FunctionSamples? function))
        {
            AddFunction(function.Name, function.Checksum);
            foreach ((LineLocation location, _) in function.Body)
                AddLine(function.Name, location.LineOffset);
            foreach ((LineLocation location, NameMap<FunctionSamples> callees) in function.Callsites)
            {
                AddLine(function.Name, location.LineOffset);
                foreach ((_, FunctionSamples callee) in callees)
                    open.Push(callee);
            }
        }
    }

    /// <summary>Whether a function is known at all.</summary>
    public bool Has(string name) => functions.ContainsKey(name);

    /// <summary>Why a place of a function does not fit; null when it does.</summary>
    public string? WhyNot(FunctionSamples function, LineLocation location) =>
        !functions.TryGetValue(function.Name, out (ulong Checksum, HashSet<uint> Lines) known) ? "gone"
        : function.Checksum != 0 ? known.Checksum == 0 || known.Checksum == function.Checksum ? null : "control flow changed"
        : known.Lines.Contains(location.LineOffset) ? null : "lines moved";
}
