using BenchmarkDotNet.Attributes;
using Perforator.SampleProfiles;

namespace Perforator.Benchmarks;

/// <summary>Reading and writing a profile of a large program: 20,000 functions, some 900,000 lines.</summary>
[MemoryDiagnoser]
public class SampleProfileBenchmarks
{
    private SampleProfile profile = new();
    private byte[] encoded = [];

    [Params(SampleProfileFormat.Text, SampleProfileFormat.ExtBinary)]
    public SampleProfileFormat Format { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        Random random = new(1);
        profile = new SampleProfile();
        for (int i = 0; i < 20_000; i++)
        {
            FunctionSamples function = profile.Function(Name());
            function.AddHeadSamples((ulong)random.Next(1000));
            Fill(function, depth: 0);
        }
        encoded = SampleProfileWriter.ToBytes(profile, Format);

        string Name() => $"_ZN6search7storage{random.Next(40_000)}5TableILi4EE6lookupERKNS_3KeyE";

        void Fill(FunctionSamples function, int depth)
        {
            uint line = 0;
            for (int lines = random.Next(32); lines > 0; lines--)
            {
                line += (uint)random.Next(3);
                LineLocation location = new(line, random.Next(3) == 0 ? (uint)random.Next(8) * 2 : 0);
                if (depth < 3 && random.Next(10) == 0)
                {
                    FunctionSamples callee = function.InlinedAt(location, Name());
                    Fill(callee, depth + 1);
                    function.AddTotalSamples(callee.TotalSamples);
                    continue;
                }
                ulong count = (ulong)random.Next(1 << random.Next(20));
                function.BodyAt(location).AddSamples(count);
                function.AddTotalSamples(count);
                if (random.Next(8) == 0)
                    function.BodyAt(location).AddCallTarget(Name(), count);
            }
        }
    }

    [Benchmark]
    public SampleProfile Read() => SampleProfileReader.Parse(encoded);

    [Benchmark]
    public byte[] Write() => SampleProfileWriter.ToBytes(profile, Format);
}
