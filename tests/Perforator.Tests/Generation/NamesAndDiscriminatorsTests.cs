using Perforator.Generation;

namespace Perforator.Tests.Generation;

public class NamesAndDiscriminatorsTests
{
    [Theory]
    [InlineData("_Z3foov", "_Z3foov")]
    [InlineData("_Z3foov.llvm.123456", "_Z3foov")]
    [InlineData("foo.part.0", "foo")]
    [InlineData("foo.part.0.llvm.77", "foo")]
    [InlineData("foo.__uniq.123", "foo.__uniq.123")]
    [InlineData("foo.__uniq.123.llvm.9", "foo.__uniq.123")]
    [InlineData("foo.cold", "foo.cold")]
    [InlineData("foo.llvm.12.cold", "foo.llvm.12.cold")]
    public void Suffixes_that_change_between_builds_go(string symbol, string canonical) => Assert.Equal(canonical, CanonicalName.Of(symbol));

    // As clang prints them with -mllvm -print-...: encodeDiscriminator(base, factor, copy) of llvm/unittests/IR/MetadataTest.cpp.
    [Theory]
    [InlineData(0u, 0u, 1u)]
    [InlineData(2u, 1u, 1u)]
    [InlineData(0x3eu, 31u, 1u)]
    [InlineData(0x1u | 4u << 2, 0u, 4u)]
    [InlineData(2u | 8u << 8, 1u, 8u)]
    [InlineData(0x40u | 1u << 7 | 1u << 1, 33u, 1u)]
    public void Discriminators_come_apart(uint discriminator, uint baseDiscriminator, uint factor)
    {
        Assert.Equal(baseDiscriminator, Discriminator.Base(discriminator));
        Assert.Equal(factor, Discriminator.DuplicationFactor(discriminator));
    }
}
