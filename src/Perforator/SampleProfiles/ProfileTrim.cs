namespace Perforator.SampleProfiles;

/// <summary>Makes a profile smaller by dropping its coldest functions.</summary>
public static class ProfileTrim
{
    /// <summary>
    /// Drops the functions whose total samples are below a threshold, as <c>llvm-profgen --trim-cold-profile</c> does with
    /// <see cref="ProfileSummary.ColdCountThreshold"/>.
    /// </summary>
    /// <returns>How many functions went.</returns>
    public static int DropBelow(SampleProfile profile, ulong threshold)
    {
        string[] cold =
            [.. profile.Functions.Values.Where(function => function.TotalSamples < threshold).Select(static function => function.Name)];
        foreach (string name in cold)
            profile.Functions.Remove(name);
        return cold.Length;
    }

    /// <summary>
    /// Drops the coldest functions until the encoded profile fits into <paramref name="maxBytes"/>, by the estimate of
    /// <c>llvm-profdata merge --output-size-limit</c> (<c>DefaultFunctionPruningStrategy</c>).
    /// </summary>
    /// <returns>How many functions went.</returns>
    /// <exception cref="UserErrorException">Not one function fits.</exception>
    public static int FitInto(SampleProfile profile, long maxBytes, SampleProfileFormat format, SampleProfileWriteOptions? options = null)
    {
        Stack<FunctionSamples> hottestFirst = new(profile.HottestFirst());
        int before = profile.Functions.Count;
        while (SampleProfileWriter.ToBytes(profile, format, options).LongLength is var size && size > maxBytes)
        {
            double ratio = (double)maxBytes / size;
            int kept = (int)Math.Round(profile.Functions.Count * ratio * ratio, MidpointRounding.AwayFromZero);
            for (int remove = Math.Max(1, profile.Functions.Count - kept); remove > 0; remove--)
                profile.Functions.Remove(hottestFirst.Pop().Name);
            if (profile.Functions.Count == 0)
                throw new UserErrorException($"no function of the profile fits into {maxBytes} bytes; raise the limit");
        }
        return before - profile.Functions.Count;
    }
}
