using System.Text;
using Perforator.SampleProfiles;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.SampleProfiles;

/// <summary>What is left to clang's ordinary inliner, and that nothing else of a profile changes.</summary>
public sealed class LateInliningTests
{
    private static SampleProfile Parse(string text) => SampleProfileReader.Parse(Encoding.UTF8.GetBytes(text));

    private static string Text(SampleProfile profile) =>
        Encoding.UTF8.GetString(SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Text));

    [Fact]
    public void Callees_without_a_choice_become_calls()
    {
        SampleProfile profile = Parse("""
            outer:1000:10
             1: 100
             2: 100
             3: rotate:299
              1: 100
              2: 99
              3: 100
             4: chooser:250
              1: 100
              2: 50
              3: 100
             5: nested:100
              1: leaf:100
               1: 100
             6: never:0
              1: 0
             7: long:500
              1: 100
              2: 100
              3: 100
              4: 100
              5: 100

            """);
        Assert.Equal(2, LateInlining.Apply(profile));
        Assert.Equal("""
            outer:801:10
             1: 100
             2: 100
             3: 100 rotate:100
             4: chooser:250
              1: 100
              2: 50
              3: 100
             5: nested:100
              1: 100 leaf:100
             6: never:0
              1: 0
             7: long:500
              1: 100
              2: 100
              3: 100
              4: 100
              5: 100
            rotate:299:100
             1: 100
             2: 99
             3: 100
            leaf:100:100
             1: 100

            """, Text(profile));
    }

    [Fact]
    public void Callees_that_call_their_caller_become_calls_with_all_that_is_inlined_into_them()
    {
        SampleProfile profile = Parse("""
            value:500:50
             1: 50
             2: list:260
              1: 20
              2: element:200
               1: 90
               2: 110 value:110
             3: other:60
              1: 10
              2: 50 list:50
            list:30:3
             1: 3

            """);
        Assert.Equal(1, LateInlining.Apply(profile));
        Assert.Equal("""
            list:290:23
             1: 23
             2: element:200
              1: 90
              2: 110 value:110
            value:260:50
             1: 50
             2: 20 list:20
             3: other:60
              1: 10
              2: 50 list:50

            """, Text(profile));
    }

    [Fact]
    public void A_function_inlined_into_itself_loses_nothing()
    {
        SampleProfile profile = Parse("""
            walk:175:9
             1: 100
             2: walk:75
              1: 40
              2: walk:35
               1: 20
               3: 15 walk:15

            """);
        Assert.Equal(1, LateInlining.Apply(profile));
        Assert.Equal("""
            walk:215:49
             1: 140
             2: 40 walk:40
             2: walk:35
              1: 20
              3: 15 walk:15

            """, Text(profile));
    }

    [Fact]
    public void Of_several_callees_at_one_place_none_is_without_a_choice()
    {
        SampleProfile profile = Parse("""
            outer:200:1
             1: one:100
              1: 100
             1: two:100
              1: 100

            """);
        string before = Text(profile);
        Assert.Equal(0, LateInlining.Apply(profile));
        Assert.Equal(before, Text(profile));
    }

    [Fact]
    public void Callees_of_probe_based_profiles_take_their_checksum_along()
    {
        SampleProfile profile = Parse("""
            outer:300:100
             1: 100
             3: rotate:100
              1: 100
              !CFGChecksum: 7
             4: shift:100
              1: 100
              !CFGChecksum: 8
             !CFGChecksum: 9

            """);
        Assert.True(profile.IsProbeBased);
        Assert.Equal(2, LateInlining.Apply(profile));
        Assert.Equal("""
            outer:300:100
             1: 100
             3: 100 rotate:100
             4: 100 shift:100
             !CFGChecksum: 9
            rotate:100:100
             1: 100
             !CFGChecksum: 7
            shift:100:100
             1: 100
             !CFGChecksum: 8

            """, Text(profile));
    }

    [Theory]
    [InlineData(7, 1)]
    [InlineData(8, 0)]
    public void A_callee_of_another_control_flow_than_the_function_of_its_name_stays_inlined(int checksum, int taken)
    {
        SampleProfile profile = Parse($"""
            outer:200:100
             1: 100
             3: rotate:100
              1: 100
              !CFGChecksum: {checksum}
             !CFGChecksum: 9
            rotate:5:5
             1: 5
             !CFGChecksum: 7

            """);
        string before = Text(profile);
        Assert.Equal(taken, LateInlining.Apply(profile));
        Assert.Equal(taken == 0, before == Text(profile));
        Assert.Equal(taken == 0 ? 5UL : 105UL, profile.Function("rotate").TotalSamples);
    }

    [SkippableFact]
    public void Llvm_reads_what_is_left()
    {
        Tool.Require(Profdata.Program);
        using TemporaryFolder folder = new();
        foreach (int seed in Enumerable.Range(1, 10))
        {
            SampleProfile profile = Profdata.Random(seed, functions: 200);
            _ = LateInlining.Apply(profile);
            SampleProfileWriter.Save(folder["late"], profile, SampleProfileFormat.ExtBinary);
            StringWriter ours = new();
            SampleProfileText.Write(ours, profile);
            Assert.Equal(Profdata.Run("show", "--sample", folder["late"]), ours.ToString());
        }
    }
}
