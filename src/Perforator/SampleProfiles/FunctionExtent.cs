namespace Perforator.SampleProfiles;

/// <summary>What the lines of a function, inlined ones included, add up to. llvm-profdata's <c>FuncSampleStats</c>.</summary>
/// <param name="Samples">The sum over all lines.</param>
/// <param name="MaxSamples">The highest line.</param>
/// <param name="Lines">How many lines there are.</param>
/// <param name="HotLines">How many of them reach the threshold.</param>
internal readonly record struct FunctionExtent(ulong Samples, ulong MaxSamples, ulong Lines, ulong HotLines)
{
    public static FunctionExtent Of(FunctionSamples function, ulong hotThreshold)
    {
        ulong samples = 0, max = 0, lines = 0, hot = 0;
        Add(function);
        return new FunctionExtent(samples, max, lines, hot);

        void Add(FunctionSamples part)
        {
            foreach ((_, BodySample sample) in part.Body)
            {
                samples += sample.Samples;
                max = Math.Max(max, sample.Samples);
                lines++;
                if (sample.Samples >= hotThreshold)
                    hot++;
            }
            foreach ((_, NameMap<FunctionSamples> callees) in part.Callsites)
                foreach ((_, FunctionSamples callee) in callees)
                    Add(callee);
        }
    }
}
