using System.Text;
using Perforator.Branches;
using Perforator.PerfScript;

namespace Perforator.Tests.PerfScript;

public class PerfScriptTokensTests
{
    [Theory]
    [InlineData("0x1/0x2/P/-/-/0")]
    [InlineData("0x555555554a3f/0xffffffffffffffff/M/-/-/65535")]
    [InlineData("0xABCDEF/0xabcdef0123456789/-/-/-/1")]
    [InlineData("0x555555554a3f/0x5555555547c0/-/-/-/0/")]
    [InlineData("0xffffffff55554a3f/0xffffffff555547c0/M/-/-/65535/ARM64_DEBUG_HALT/NON_SPEC_CORRECT_PATH")]
    [InlineData("0x1/0x2/P/-/-/7//SPEC_WRONG_PATH")]
    [InlineData("0x1/0x2/P/-/-/7/IRQ/-")]
    public void The_usual_form_of_a_branch_is_read_whole(string token)
    {
        Assert.True(PerfScriptTokens.TryBranch(Encoding.ASCII.GetBytes(token), LinkedAddresses.None, out BranchEntry expected));
        Assert.Equal(token.Length, PerfScriptTokens.ReadUsualBranch(Encoding.ASCII.GetBytes(token.PadRight(100)), out BranchEntry found));
        Assert.Equal(expected, found);
    }

    [Fact]
    public void Text_that_is_nearly_a_branch_is_read_alike_or_left_to_the_general_reader()
    {
        Random random = new(1);
        ReadOnlySpan<byte> strange = "0123456789abcdefxABCDEFGPMXA-/ \n\r\t:@`g+\0\x7f"u8;
        int usual = 0;
        for (int i = 0; i < 200_000; i++)
        {
            byte[] text =
                Encoding.ASCII.GetBytes(
                    $"0x{(ulong)random.NextInt64() >> random.Next(64):x}/0x{(ulong)random.NextInt64() >> random.Next(64):x}/P/-/-/{random.Next(99)}{(random.Next(2) == 0 ? "" : "/IRQ/SPEC_WRONG_PATH")}".PadRight(96 + random.Next(20)));
            for (int change = random.Next(3); change > 0; change--)
                text[random.Next(60)] = strange[random.Next(strange.Length)];
            int length = PerfScriptTokens.ReadUsualBranch(text, out BranchEntry found);
            if (length == 0)
                continue;
            usual++;
            PerfScriptTokens tokens = new(text);
            Assert.True(tokens.Next(out ReadOnlySpan<byte> token));
            Assert.Equal(token.Length, length);
            Assert.True(PerfScriptTokens.TryBranch(token, LinkedAddresses.None, out BranchEntry expected));
            Assert.Equal(expected, found);
        }
        Assert.InRange(usual, 50_000, 199_999);
    }
}
