using Perforator.Api;
using Perforator.Generation;
using Perforator.Server.Storage;

namespace Perforator.Server.Results;

/// <summary>Gives functions of generated profiles their lines in source.</summary>
internal sealed class FunctionSources
{
    /// <summary>Binaries that are looked into for a function, those with most branches first.</summary>
    private const int MaxBuilds = 8;

    private readonly ServerStorage storage;
    private readonly SourceFiles files;

    public FunctionSources(ServerStorage storage, SourceFiles files) => (this.storage, this.files) = (storage, files);

    /// <summary>The function with what is known of its lines: unchanged where no binary of the profile that the server has tells.</summary>
    public async Task<FunctionDetail> AddAsync(FunctionDetail detail, KeptResult kept, CancellationToken stop)
    {
        BuildId[] builds = [.. kept.Builds.Take(MaxBuilds).Select(BuildId.Parse)];
        ILookup<BuildId, BinaryFile> known = (await storage.Binaries.FindAsync(builds, stop)).ToLookup(static file => file.BuildId);
        IReadOnlyList<BinaryFile> shared = await storage.Binaries.ListSharedAsync(stop);
        return await Task.Run(() =>
        {
            using StoredBinaries binaries = new(storage, known, shared);
            foreach (BuildId build in builds)
            {
                stop.ThrowIfCancellationRequested();
                using ProfiledBinary? binary = binaries.Open(build, build.ToString(), TargetCompiler.Clang, out _);
                if (binary?.PlacesOf(detail.Function.Name) is { } places)
                    return Add(detail, places, kept.Service, build.ToString());
            }
            return detail;
        }, stop);
    }

    private FunctionDetail Add(FunctionDetail detail, FunctionPlaces places, string service, string build)
    {
        SourcePlace?[] found = new SourcePlace?[detail.Lines.Count];
        // The function that each level of inlining is of.
        List<string> open = [detail.Function.Name];
        for (int i = 0; i < found.Length; i++)
        {
            FunctionLine line = detail.Lines[i];
            string function = open[Math.Min(line.Depth, open.Count - 1)];
            found[i] = detail.ByProbes ? places.ProbeOf(function, line.Line) : places.LineOf(function, line.Line);
            if (line.Inlined is not { } inlined)
                continue;
            open.RemoveRange(line.Depth + 1, open.Count - line.Depth - 1);
            open.Add(inlined);
        }
        SourcePlace? start = places.StartOf(detail.Function.Name);
        Dictionary<string, IReadOnlyDictionary<uint, string>> texts =
            found.Append(start).OfType<SourcePlace>().GroupBy(static place => place.File, StringComparer.Ordinal)
            .ToDictionary(
                static file => file.Key, file => files.Read(file.Key, file.Select(static place => place.Line).ToHashSet()),
                StringComparer.Ordinal);
        return detail with
        {
            Source = SourceOf(start),
            Lines = [.. detail.Lines.Select((line, i) => line with { Source = SourceOf(found[i]) })],
        };

        LineSource? SourceOf(SourcePlace? place) => place is not { } known ? null
            : new LineSource(known.File, known.Line, texts[known.File].GetValueOrDefault(known.Line), files.UrlOf(known, service, build));
    }
}
