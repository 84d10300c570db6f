namespace Perforator.SampleProfiles;

/// <summary>Counters that stop at their largest value instead of wrapping, as LLVM's <c>SaturatingMultiplyAdd</c>.</summary>
internal static class SampleCount
{
    public static ulong Add(ulong counter, ulong count)
    {
        ulong sum = counter + count;
        return sum < counter ? ulong.MaxValue : sum;
    }

    public static ulong AddWeighted(ulong counter, ulong count, ulong weight)
    {
        // Math.BigMul would do, but code that may use BMI2 is not precompiled, and this is called for every instruction.
        ulong product = unchecked(count * weight);
        bool overflows = ((count | weight) >> 32) != 0 && weight != 0 && product / weight != count;
        return overflows ? ulong.MaxValue : Add(counter, product);
    }
}
