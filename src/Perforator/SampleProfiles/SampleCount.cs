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
        ulong high = Math.BigMul(count, weight, out ulong product);
        return high != 0 ? ulong.MaxValue : Add(counter, product);
    }
}
