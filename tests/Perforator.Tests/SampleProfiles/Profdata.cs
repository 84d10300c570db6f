using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

/// <summary>The peer of every test here, and profiles to try it with.</summary>
internal static class Profdata
{
    public const string Program = "llvm-profdata-19";

    /// <summary>A profile of testdata/profiles.</summary>
    public static string TestData(string name) => Path.Combine(Tool.RepositoryRoot(), "testdata", "profiles", name);

    /// <summary>Runs llvm-profdata and returns what it printed.</summary>
    public static string Run(params string[] arguments) => Tool.Run(Program, arguments).Succeeded().Output;

    /// <summary>Runs <c>llvm-profdata merge --sample</c> and returns the file it made.</summary>
    public static byte[] Merge(TemporaryFolder folder, params string[] arguments)
    {
        string output = folder[Path.GetRandomFileName()];
        Run([.. new[] { "merge", "--sample", "-o", output }, .. arguments]);
        return File.ReadAllBytes(output);
    }

    /// <summary>
    /// A profile with everything a profile may hold, from a seed: deep inlining, large and equal counts, call targets, odd names.
    /// </summary>
    public static SampleProfile Random(int seed, int functions = 60, bool probes = false)
    {
        Random random = new(seed);
        SampleProfile profile = new() { IsProbeBased = probes };
        for (int i = 0; i < functions; i++)
        {
            FunctionSamples function = profile.Function(Name());
            function.AddHeadSamples((ulong)random.Next(1000));
            Fill(function, depth: 0);
        }
        return profile;

        string Name() => random.Next(12) switch
        {
            0 => $"std::map<int, std::pair<int, char> >::find(int) const [{random.Next(20)}]",
            1 => $"_ZL6static{random.Next(20)}.__uniq.{random.Next(9)}",
            2 => $"größe{random.Next(9)}",
            _ => $"_ZN4core{random.Next(40)}4workEi",
        };

        void Fill(FunctionSamples function, int depth)
        {
            for (int lines = random.Next(8); lines > 0; lines--)
            {
                LineLocation location = new((uint)random.Next(random.Next(2) == 0 ? 20 : 65536), probes ? 0 : (uint)random.Next(4) * 2);
                if (depth < 4 && random.Next(3) == 0)
                {
                    FunctionSamples callee = function.InlinedAt(location, Name());
                    Fill(callee, depth + 1);
                    function.AddTotalSamples(callee.TotalSamples);
                    continue;
                }
                ulong count = random.Next(5) switch { 0 => 0, 1 => (ulong)random.NextInt64(1L << 40), _ => (ulong)random.Next(500) };
                BodySample sample = function.BodyAt(location);
                sample.AddSamples(count);
                function.AddTotalSamples(count);
                for (int targets = random.Next(6) - 3; targets > 0; targets--)
                    sample.AddCallTarget(Name(), (ulong)random.Next(4));
            }
            if (probes)
                function.Checksum = (ulong)random.NextInt64();
        }
    }
}
