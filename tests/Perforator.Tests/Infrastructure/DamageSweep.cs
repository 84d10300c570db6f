using Perforator.Bytes;

namespace Perforator.Tests.Infrastructure;

/// <summary>
/// Feeds a reader thousands of damaged copies of a valid input: every length cut off (of long inputs, many), then bytes flipped and
/// moved, from a fixed seed. Nothing but <see cref="MalformedInputException"/> may come out, within bounded time, memory and stack.
/// </summary>
internal static class DamageSweep
{
    private const int Truncations = 500;
    private const int StackBytes = 512 << 10;

    /// <summary>Long enough for a slow machine; a reader that takes longer hangs.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(3);

    /// <param name="input">A valid input; read once undamaged, which must succeed.</param>
    /// <param name="read">Reads an input to its end. The array is not used again.</param>
    /// <param name="damages">How many damaged copies to try, beside the truncated ones.</param>
    /// <param name="memoryLimit">The most bytes one read may allocate.</param>
    public static void Run(byte[] input, Action<byte[]> read, int damages = 1500, long memoryLimit = 256 << 20)
    {
        Exception? failure = null;
        string current = "";
        Thread thread = new(() =>
        {
            try
            {
                current = "the undamaged input";
                read([.. input]);
                foreach (int length in Lengths(input.Length))
                    Try(read, input[..length], current = $"cut to {length} of {input.Length} bytes", memoryLimit);
                for (int seed = 0; seed < damages; seed++)
                    Try(read, InputDamage.Damage(input, new Random(seed)), current = $"damage of seed {seed}", memoryLimit);
            }
            catch (Exception e)
            {
                failure = e;
            }
        }, StackBytes)
        { IsBackground = true };
        thread.Start();
        Assert.True(thread.Join(Limit), $"hangs at: {current}");
        Assert.True(failure is null, $"{current}: {failure}");
    }

    private static void Try(Action<byte[]> read, byte[] damaged, string current, long memoryLimit)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            read(damaged);
        }
        catch (MalformedInputException e)
        {
            Assert.False(string.IsNullOrWhiteSpace(e.What), current);
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated <= memoryLimit, $"{current}: {allocated} bytes allocated");
    }

    private static IEnumerable<int> Lengths(int length) => length <= Truncations
        ? Enumerable.Range(0, length)
        : Enumerable.Range(0, Truncations / 2)
            .Concat(Enumerable.Range(1, Truncations / 2).Select(i => (int)((long)i * length / (Truncations / 2 + 1))));
}
