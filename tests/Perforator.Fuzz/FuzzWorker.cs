using System.IO.MemoryMappedFiles;
using Perforator.Bytes;
using Perforator.Tests.Infrastructure;

namespace Perforator.Fuzz;

/// <summary>
/// The process that reads the damaged inputs. It may crash or hang: where it was stands in a shared file, and every input can be
/// made again from the run's seed and its number.
/// </summary>
internal static class FuzzWorker
{
    /// <summary>What a read may allocate beyond a multiple of its input.</summary>
    private const long MemoryLimit = 512L << 20;

    private const int StackBytes = 1 << 20;

    /// <summary>The input of a number: a damaged copy of one of the valid inputs.</summary>
    public static byte[] Input(IReadOnlyList<byte[]> valid, int seed, long number)
    {
        Random random = new(HashMix(seed, number));
        return InputDamage.Damage(valid[random.Next(valid.Count)], random);
    }

    /// <summary>The valid inputs of a target, in a fixed order.</summary>
    public static byte[][] LoadValid(string folder) =>
        [.. Directory.GetFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)];

    /// <summary>Reads inputs from a number on until one fails or the parent ends the process.</summary>
    /// <returns>1 when an input failed; the reason is on standard output.</returns>
    public static int Run(FuzzTarget target, string folder, int seed, long from, string progressFile)
    {
        byte[][] valid = LoadValid(folder);
        using MemoryMappedFile file = MemoryMappedFile.CreateFromFile(progressFile, FileMode.Open);
        using MemoryMappedViewAccessor progress = file.CreateViewAccessor();
        string? failure = null;
        Thread thread = new(() =>
        {
            for (long number = from; failure is null; number++)
            {
                progress.Write(0, number);
                failure = Try(target, Input(valid, seed, number));
            }
        }, StackBytes);
        thread.Start();
        thread.Join();
        Console.WriteLine(failure);
        return 1;
    }

    /// <summary>Reads one input; what went wrong, or null.</summary>
    public static string? Try(FuzzTarget target, byte[] input)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            target.Read(input);
        }
        catch (MalformedInputException)
        {
        }
#pragma warning disable CA1031 // Whatever else comes out is what is looked for.
        catch (Exception e)
#pragma warning restore CA1031
        {
            return e.ToString();
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return allocated > MemoryLimit ? $"{allocated} bytes allocated for an input of {input.Length}" : null;
    }

    private static int HashMix(int seed, long number)
    {
        ulong mixed = ((ulong)(uint)seed << 32 ^ (ulong)number) * 0x9E3779B97F4A7C15UL;
        return (int)((mixed ^ mixed >> 29) >> 16);
    }
}
