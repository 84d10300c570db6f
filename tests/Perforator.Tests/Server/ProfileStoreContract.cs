using Perforator.Api;
using Perforator.Branches;
using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>What every <see cref="IProfileStore"/> does; a backend's tests derive from it.</summary>
public abstract class ProfileStoreContract
{
    private protected abstract IProfileStore Store { get; }

    private async Task<bool> AddAsync(BranchProfileSet set)
    {
        byte[] encoded = BranchProfileCodec.Encode(set);
        return await Store.AddAsync(BranchProfileCodec.ContentHash(encoded), encoded, set, CancellationToken.None);
    }

    private Task<MergedProfile?> MergeAsync(string buildId = "aa01", TimeSpanFilter span = default, string service = "search") =>
        Store.MergeAsync(service, BuildId.Parse(buildId), span, CancellationToken.None);

    private Task<string> FingerprintAsync(string buildId = "aa01", TimeSpanFilter span = default) =>
        Store.FingerprintAsync("search", BuildId.Parse(buildId), span, CancellationToken.None);

    [Fact]
    public async Task An_empty_store_knows_nothing()
    {
        Assert.Empty(await Store.ListServicesAsync(CancellationToken.None));
        Assert.Empty(await Store.ListBuildsAsync("search", TimeSpanFilter.All, CancellationToken.None));
        Assert.Null(await MergeAsync());
    }

    [Fact]
    public async Task Profiles_add_up_per_service_and_build()
    {
        BranchProfileSet both = Uploads.Set(minute: 1);
        both.Add(new BranchProfile(BuildId.Parse("cc03"), "/lib/mapped-only.so"));
        both.Add(Uploads.Set(buildId: "bb02", count: 3).Profiles.Values.Single());
        Assert.True(await AddAsync(Uploads.Set()));
        Assert.True(await AddAsync(both));
        Assert.True(await AddAsync(Uploads.Set(service: "ads", count: 100)));

        MergedProfile merged = (await MergeAsync())!;
        Assert.Equal((2L, Uploads.Start, Uploads.Start.AddMinutes(2)), (merged.Count, merged.Start, merged.End));
        Assert.Equal((20UL, 20UL, "/opt/search"), (merged.Profile.Samples, merged.Profile.BranchEntries, merged.Profile.Path));
        Assert.Equal(
            [new(new(0x1040), new(0x1010), 20, 0), new(BinaryAddress.External, new(0x1000), 2, 0)], merged.Profile.Branches.Sorted());
        Assert.Equal(3UL, (await MergeAsync("bb02"))!.Profile.Samples);
        Assert.Equal(100UL, (await MergeAsync(service: "ads"))!.Profile.Samples);

        Assert.Equal(
            [new ServiceSummary("ads", 1, 1, 100, Uploads.Start.AddMinutes(1)), new ServiceSummary("search", 2, 2, 20, Uploads.Start.AddMinutes(2))],
            await Store.ListServicesAsync(CancellationToken.None));
        Assert.Equal(
            [
                new BuildStatistics(BuildId.Parse("aa01"), "/opt/search", 2, 20, 20, Uploads.Start, Uploads.Start.AddMinutes(2)),
                new BuildStatistics(BuildId.Parse("bb02"), "/opt/search", 1, 3, 3, Uploads.Start.AddMinutes(1), Uploads.Start.AddMinutes(2)),
            ],
            await Store.ListBuildsAsync("search", TimeSpanFilter.All, CancellationToken.None));
    }

    [Fact]
    public async Task The_same_set_counts_once_even_when_sent_at_the_same_time()
    {
        bool[] added = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => AddAsync(Uploads.Set()))));
        Assert.Equal(1, added.Count(static a => a));
        Assert.Equal(10UL, (await MergeAsync())!.Profile.Samples);
    }

    [Fact]
    public async Task A_span_selects_the_profiles_that_overlap_it()
    {
        for (int minute = 0; minute < 3; minute++)
            await AddAsync(Uploads.Set(minute: minute));
        DateTimeOffset[] at = [.. Enumerable.Range(0, 4).Select(static minute => Uploads.Start.AddMinutes(minute))];
        Assert.Equal(3, (await MergeAsync(span: new(at[0], at[3])))!.Count);
        Assert.Equal(2, (await MergeAsync(span: new(at[1].AddSeconds(1), null)))!.Count);
        Assert.Equal(1, (await MergeAsync(span: new(null, at[0].AddSeconds(1))))!.Count);
        Assert.Null(await MergeAsync(span: new(null, at[0])));
        Assert.Empty(await Store.ListBuildsAsync("search", new(at[3].AddSeconds(1), null), CancellationToken.None));
    }

    [Fact]
    public async Task Equal_fingerprints_mean_equal_sums()
    {
        await AddAsync(Uploads.Set());
        string one = await FingerprintAsync();
        await AddAsync(Uploads.Set(service: "ads", minute: 5));
        await AddAsync(Uploads.Set(buildId: "bb02", minute: 6));
        Assert.Equal(one, await FingerprintAsync());
        await AddAsync(Uploads.Set(minute: 1));
        Assert.NotEqual(one, await FingerprintAsync());
        Assert.Equal(one, await FingerprintAsync(span: new(null, Uploads.Start.AddMinutes(1))));
    }

    [Fact]
    public async Task Sums_of_huge_counters_saturate()
    {
        await AddAsync(Uploads.Set(count: ulong.MaxValue - 1));
        await AddAsync(Uploads.Set(count: ulong.MaxValue - 2, minute: 1));
        Assert.Equal(ulong.MaxValue, (await MergeAsync())!.Profile.Samples);
        Assert.True((await Store.ListServicesAsync(CancellationToken.None)).Single().Samples >= long.MaxValue);
    }
}
