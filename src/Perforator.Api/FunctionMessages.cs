namespace Perforator.Api;

/// <summary>Functions of a generated profile.</summary>
/// <param name="Functions">A page of them.</param>
/// <param name="Matched">How many match the search.</param>
/// <param name="TotalFunctions">How many the profile has.</param>
/// <param name="TotalSamples">Samples of all of them.</param>
public sealed record FunctionPage(IReadOnlyList<FunctionSummary> Functions, int Matched, int TotalFunctions, double TotalSamples);

/// <summary>A function of a profile.</summary>
/// <param name="Id">LLVM's hash of its name, in decimal: what asks for it.</param>
/// <param name="Name">Its linkage name.</param>
/// <param name="Samples">Samples of it with all that is inlined into it.</param>
/// <param name="HeadSamples">How often it was entered.</param>
/// <param name="InlinedInto">How many functions hold inlined copies of it.</param>
/// <param name="CallTargets">How many functions it calls.</param>
public sealed record FunctionSummary(string Id, string Name, double Samples, double HeadSamples, int InlinedInto, int CallTargets);

/// <summary>A function of a profile in full.</summary>
/// <param name="Function">The function.</param>
/// <param name="Lines">Its lines and those of inlined copies, in order, at most 5,000.</param>
/// <param name="InlinedInto">Functions that hold inlined copies of it, most samples first, at most a hundred.</param>
/// <param name="Callers">Functions that call it, likewise.</param>
/// <param name="Callees">Functions it calls, likewise.</param>
public sealed record FunctionDetail(
    FunctionSummary Function, IReadOnlyList<FunctionLine> Lines, IReadOnlyList<RelatedFunction> InlinedInto,
    IReadOnlyList<RelatedFunction> Callers,
    IReadOnlyList<RelatedFunction> Callees)
{
    /// <summary>Whether lines are numbers of pseudo probes rather than of lines.</summary>
    public bool ByProbes { get; init; }

    /// <summary>Where the function begins, as a binary of the profile tells; null where the server has none with debug info.</summary>
    public LineSource? Source { get; init; }
}

/// <summary>A line of source.</summary>
/// <param name="File">The file's path as the compiler had it.</param>
/// <param name="Line">The line, from 1.</param>
/// <param name="Text">What stands there, where the server was given the source (<c>serve --source-root</c>).</param>
/// <param name="Url">Where people see it, where the server was given an address (<c>serve --source-url</c>).</param>
public sealed record LineSource(string File, uint Line, string? Text, string? Url);

/// <summary>A line of a function.</summary>
/// <param name="Depth">How deep the inlined copy is that it lies in; 0 for the function's own lines.</param>
/// <param name="Line">Lines behind the line where the function (or the inlined one) begins; in a profile by pseudo probes, the probe's
/// number.</param>
/// <param name="Discriminator">The discriminator.</param>
/// <param name="Samples">How often it ran; of an inlined copy, all of its samples.</param>
/// <param name="Inlined">The function inlined here; null for a line.</param>
/// <param name="Calls">Functions called from here.</param>
public sealed record FunctionLine(
    int Depth, uint Line, uint Discriminator, double Samples, string? Inlined, IReadOnlyList<RelatedFunction> Calls)
{
    /// <summary>Where that is in source; null when no binary of the profile tells.</summary>
    public LineSource? Source { get; init; }
}

/// <summary>A function that has to do with another.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Name">Its name.</param>
/// <param name="Samples">Samples, or calls.</param>
public sealed record RelatedFunction(string Id, string Name, double Samples);

/// <summary>
/// Inlining and calls of a profile as a tree. A profile knows no call stacks: a function's samples are shared out among its callers as its
/// calls are, which gives each path its likely part.
/// </summary>
/// <param name="Names">The functions' names.</param>
/// <param name="Nodes">The nodes, parents before children: parent (-1 for a root), name, kind (0 called, 1 inlined), samples with all
/// below, samples of the other profile.</param>
/// <param name="TotalSamples">Samples of the whole profile.</param>
/// <param name="OtherSamples">Samples of the whole other profile; 0 where none was asked for.</param>
/// <param name="CutOff">Samples that are in no node, as their paths are too small.</param>
public sealed record ProfileTree(
    IReadOnlyList<string> Names, IReadOnlyList<IReadOnlyList<double>> Nodes, double TotalSamples, double OtherSamples, double CutOff);
