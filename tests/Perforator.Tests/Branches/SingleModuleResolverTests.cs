using Perforator.Branches;

namespace Perforator.Tests.Branches;

/// <summary>Recordings name a binary by where it lay there: on another host, in a container, or deleted since.</summary>
public class SingleModuleResolverTests
{
    private static readonly Module Server =
        new(BuildId.Parse("aa"), "/home/me/build/server", [new(new(0x1000), new(0), 0x1000, 0x1000, true)]);

    [Theory]
    [InlineData("/home/me/build/server", "", true)]
    [InlineData("/usr/bin/server", "", true)]
    [InlineData("/usr/bin/server (deleted)", "", true)]
    [InlineData("/var/lib/docker/overlay2/0a1b2c/merged/usr/bin/server", "", true)]
    [InlineData("/usr/bin/server", "aa", true)]
    [InlineData("/app/run", "aa", true)]
    [InlineData("/memfd:stage2 (deleted)", "aa", true)]
    [InlineData("/usr/bin/server-old", "", false)]
    [InlineData("/usr/bin/server", "bb", false)]
    [InlineData("/usr/bin/server (deleted)", "bb", false)]
    [InlineData("//anon", "", false)]
    public void It_is_known_by_build_id_or_without_one_by_file_name(string path, string buildId, bool known)
    {
        Module? found =
            new SingleModuleResolver(Server).Resolve(
                new Mapping(7, new(0x10000), 0x1000, new(0), path, buildId.Length == 0 ? default : BuildId.Parse(buildId)));
        Assert.Equal(known ? Server : null, found);
    }
}
