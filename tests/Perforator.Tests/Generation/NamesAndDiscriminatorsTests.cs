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
    public void Suffixes_that_change_between_builds_go(string symbol, string canonical) =>
        Assert.Equal(canonical, CanonicalName.Of(symbol));

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
        Assert.Equal(baseDiscriminator, Discriminator.Base(discriminator, DiscriminatorCoding.Llvm));
        Assert.Equal(factor, Discriminator.DuplicationFactor(discriminator, DiscriminatorCoding.Llvm));
    }

    [Fact]
    public void GCC_numbers_discriminators_plainly_and_packs_them_in_bytes_from_16_on()
    {
        Assert.Equal(3u, Discriminator.Base(3, DiscriminatorCoding.Whole));
        Assert.Equal(1u, Discriminator.DuplicationFactor(0x0203, DiscriminatorCoding.Whole));
        Assert.Equal(3u, Discriminator.Base(0x18403, DiscriminatorCoding.Gcc16));
        Assert.Equal(4u, Discriminator.DuplicationFactor(0x18403, DiscriminatorCoding.Gcc16));
        Assert.Equal(1u, Discriminator.DuplicationFactor(3, DiscriminatorCoding.Gcc16));
    }

    [Theory]
    [InlineData("GNU C17 12.2.0 -mtune=generic -march=x86-64 -g1 -O2", SourceCompiler.Gcc, 12)]
    [InlineData("GNU C++23 16.0.1 20260101 (experimental) -O2", SourceCompiler.Gcc, 16)]
    [InlineData("GNU AS 2.40", SourceCompiler.Unknown, 0)]
    [InlineData("Debian clang version 19.1.7 (3~deb12u1)", SourceCompiler.Llvm, 0)]
    [InlineData("clang LLVM (rustc version 1.63.0)", SourceCompiler.Llvm, 0)]
    [InlineData("Go cmd/compile go1.23.5; regabi", SourceCompiler.Go, 0)]
    [InlineData("", SourceCompiler.Unknown, 0)]
    public void Compilers_are_told_by_what_they_write_of_themselves(string producer, SourceCompiler compiler, int gcc)
    {
        Assert.Equal(compiler, Producer.CompilerOf(producer));
        Assert.Equal(gcc, Producer.GccVersion(producer));
    }
}
