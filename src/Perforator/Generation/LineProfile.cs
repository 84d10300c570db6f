using Perforator.SampleProfiles;
using Perforator.Symbolize;

namespace Perforator.Generation;

/// <summary>
/// Builds a profile whose locations are lines: each instruction's count goes to the inline stack that debug info gives for it. What
/// LLVM's loader expects of the numbers is llvm-profgen's choice: a line has the count of its most frequent instruction times the
/// duplication factor of its discriminator; totals weigh each instruction by its bytes.
/// </summary>
internal sealed class LineProfile
{
    /// <summary>Where the samples of an inline context go.</summary>
    private sealed class Place(FunctionSamples samples, Place? caller)
    {
        public FunctionSamples Samples { get; } = samples;

        public Place? Caller { get; } = caller;

        /// <summary>
        /// Set when a function on the stack has no name: everything from there inwards counts at the call in its caller, which
        /// <see cref="Samples"/> then is.
        /// </summary>
        public LineLocation? NamelessCall { get; init; }

        /// <summary>Samples weighed by bytes, not yet added to the function and its callers.</summary>
        public ulong Total { get; set; }
    }

    private readonly SampleProfile profile;
    private readonly Dictionary<InlineContext, Place?> places = new(ReferenceEqualityComparer.Instance);

    // Neighbouring instructions mostly share their context and often their line.
    private InlineContext? lastContext;
    private Place? lastPlace;

    private readonly DiscriminatorCoding coding;

    /// <param name="profile">What is filled.</param>
    /// <param name="coding">How the binary's discriminators are to be read.</param>
    public LineProfile(SampleProfile profile, DiscriminatorCoding coding)
    {
        this.profile = profile;
        this.coding = coding;
    }

    /// <summary>Counts code that comes from one place in source.</summary>
    /// <param name="location">The place.</param>
    /// <param name="count">How often each of its instructions ran.</param>
    /// <param name="bytes">Size of the instructions.</param>
    public void AddCode(in SourceLocation location, ulong count, ulong bytes)
    {
        if (PlaceOf(location.Context) is not { } place)
            return;
        place.Total = SampleCount.AddWeighted(place.Total, count, bytes);
        uint factor = place.NamelessCall is not null ? 1 : Discriminator.DuplicationFactor(location.Discriminator, coding);
        ulong samples = SampleCount.AddWeighted(0, count, factor);
        BodySample body = place.Samples.BodyAt(place.NamelessCall ?? LocationIn(location.Context!, location.Line, location.Discriminator));
        if (body.Samples < samples)
            body.Samples = samples;
    }

    /// <summary>Counts calls.</summary>
    /// <param name="location">Where the call is; without a context when that is unknown.</param>
    /// <param name="callee">The callee's canonical name.</param>
    /// <param name="count">How often it was called.</param>
    public void AddCall(in SourceLocation location, string callee, ulong count)
    {
        if (PlaceOf(location.Context) is { } place)
            place.Samples.BodyAt(place.NamelessCall ?? LocationIn(location.Context!, location.Line, location.Discriminator))
                .AddCallTarget(callee, count);
        profile.Function(callee).AddHeadSamples(count);
    }

    /// <summary>Adds what is still held back.</summary>
    public void Finish()
    {
        // Several contexts may share a place.
        foreach (Place place in places.Values.OfType<Place>().Distinct())
            for (Place? at = place; at is not null; at = at.Caller)
                at.Samples.AddTotalSamples(place.Total);
    }

    private Place? PlaceOf(InlineContext? context)
    {
        if (context is null)
            return null;
        if (!ReferenceEquals(context, lastContext))
        {
            lastContext = context;
            lastPlace = Find(context);
        }
        return lastPlace;
    }

    private Place? Find(InlineContext context)
    {
        // From the innermost context outwards to the first known one, and back.
        Stack<InlineContext> unknown = new();
        Place? place = null;
        for (InlineContext? at = context; at is not null; at = at.Caller)
        {
            if (places.TryGetValue(at, out place))
                break;
            unknown.Push(at);
        }
        while (unknown.TryPop(out InlineContext? at))
            places.Add(at, place = Make(at, place));
        return place;
    }

    private Place? Make(InlineContext context, Place? caller)
    {
        if (context.Caller is null)
            return context.Function.Length == 0 ? null : new Place(profile.Function(context.Function), null);
        if (caller is null || caller.NamelessCall is not null)
            return caller;
        LineLocation call = LocationIn(context.Caller, context.CallLine, context.CallDiscriminator);
        if (context.Function.Length == 0)
            return new Place(caller.Samples, caller.Caller) { NamelessCall = call };
        return new Place(caller.Samples.InlinedAt(call, context.Function), caller);
    }

    /// <summary>
    /// Lines are relative to the function's start line, modulo 2^16: sample profiles have no negative offsets, and code included from
    /// other files may lie anywhere.
    /// </summary>
    internal static uint Offset(uint line, uint startLine) => (line - startLine) & 0xffff;

    private LineLocation LocationIn(InlineContext context, uint line, uint discriminator) =>
        new(Offset(line, context.StartLine), Discriminator.Base(discriminator, coding));
}
