using Perforator.Branches;
using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>What every <see cref="IProfileIndex"/> does; a backend's tests derive from it. Each test has services of its own.</summary>
public abstract class ProfileIndexContract
{
    private static readonly DateTimeOffset Received = Uploads.Start.AddDays(30);

    private static CancellationToken Stop => CancellationToken.None;

    private protected abstract IProfileIndex Index { get; }

    private static NewUpload New(BranchProfileSet set, DateTimeOffset? received = null)
    {
        byte[] encoded = BranchProfileCodec.Encode(set);
        return NewUpload.Of(BranchProfileCodec.ContentHash(encoded), encoded.Length, set, received ?? Received);
    }

    private Task<UploadOutcome> AddAsync(BranchProfileSet set, DateTimeOffset? received = null) => Index.AddAsync(New(set, received), Stop);

    private async Task<string[]> SelectedAsync(string service, TimeSpanFilter span = default)
    {
        ProfileSelection selection = await Index.SelectAsync(service, span, Stop);
        Assert.Empty(selection.Parts);
        return [.. selection.Uploads.Select(static upload => upload.Hash)];
    }

    private static async Task<string> InputsAsync(IProfileIndex index, string service, TimeSpanFilter span = default)
    {
        UploadSetHash set = new();
        ProfileSelection selection = await index.SelectAsync(service, span, Stop);
        foreach (SelectedUpload upload in selection.Uploads)
            set.Add(upload.Hash);
        foreach (SelectedPart part in selection.Parts)
            set.Add(part.Set.ToBytes(), part.Set.Count);
        return set.ToString();
    }

    /// <summary>The block of all that a period has, as compaction makes it, in as many parts as there are label sets.</summary>
    private async Task<NewBlock> BlockOfAsync(string service, BlockPeriod period)
    {
        ProfileSelection selection = await Index.SelectPeriodAsync(service, period, Stop);
        List<NewPart> parts = [];
        UploadSetHash all = new();
        foreach (IGrouping<string, (IReadOnlyDictionary<string, string> Labels, string? Hash, SelectedPart? Part, DateTimeOffset Start, DateTimeOffset End)> group in
            selection.Uploads.Select(static u => (u.Labels, (string?)u.Hash, (SelectedPart?)null, u.Start, u.End))
                .Concat(selection.Parts.Select(static p => (p.Labels, (string?)null, (SelectedPart?)p, p.Start, p.End)))
                .GroupBy(static x => string.Join(',', x.Item1)))
        {
            UploadSetHash set = new();
            foreach ((_, string? hash, SelectedPart? part, _, _) in group)
                if (hash is not null)
                    set.Add(hash);
                else
                    set.Add(part!.Set.ToBytes(), part.Set.Count);
            all.Add(set.ToBytes(), set.Count);
            parts.Add(new NewPart(
                group.First().Labels, parts.Count * 100, 100, set, group.Min(static x => x.Start), group.Max(static x => x.End)));
        }
        return new NewBlock(
            service, period, all.ToString(), parts.Count * 100, parts, [.. selection.Uploads.Select(static u => u.Hash)],
            [.. selection.Parts.Select(static p => p.Object).Distinct()]);
    }

    [Fact]
    public async Task An_unknown_service_has_nothing()
    {
        Assert.Equal(UploadState.Unknown, (await Index.FindAsync("00", Stop)).State);
        Assert.DoesNotContain(await Index.ListServicesAsync(Stop), static s => s.Service == "none");
        Assert.Empty(await Index.ListBuildDaysAsync("none", Stop));
        Assert.Empty(await SelectedAsync("none"));
        Assert.False(await Index.ForgetServiceAsync("none", Stop));
    }

    [Fact]
    public async Task Uploads_are_counted_per_service_build_day_and_labels()
    {
        BranchProfileSet both = Uploads.Set("sums", minute: 1);
        both.Add(new BranchProfile(BuildId.Parse("cc03"), "/lib/mapped-only.so"));
        both.Add(Uploads.Set("sums", buildId: "bb02", count: 3).Profiles.Values.Single());
        Assert.Equal(UploadOutcome.Added, await AddAsync(Uploads.Set("sums")));
        Assert.Equal(UploadOutcome.Added, await AddAsync(both));
        Assert.Equal(UploadOutcome.Added, await AddAsync(Uploads.Set("sums", minute: 24 * 60, host: "node-2")));
        Assert.Equal(UploadOutcome.Added, await AddAsync(Uploads.Set("sums-b", count: 100)));

        Assert.Equal(
            [new ServiceTotals(
                "sums", 2, 3, 30, Uploads.Start.AddMinutes((24 * 60) + 1)),
                new ServiceTotals("sums-b", 1, 1, 100, Uploads.Start.AddMinutes(1))],
            (await Index.ListServicesAsync(Stop)).Where(static s => s.Service.StartsWith("sums", StringComparison.Ordinal)));
        IReadOnlyList<BuildDay> days = await Index.ListBuildDaysAsync("sums", Stop);
        Assert.Equal(
            [("aa01", "node-1", 1, 2L, 20UL, 20UL), ("aa01", "node-2", 2, 1L, 10UL, 10UL), ("bb02", "node-1", 1, 1L, 3UL, 3UL)],
            days.Select(static d => (d.BuildId.ToString(), d.Labels["host"], d.Day.Day, d.Uploads, d.Samples, d.Branches)).Order()
                .ToArray());
        BuildDay first = days.Single(static d => d.BuildId.ToString() == "aa01" && d.Day.Day == 1);
        Assert.Equal(("/opt/sums", Uploads.Start, Uploads.Start.AddMinutes(2)), (first.Path, first.FirstSeen, first.LastSeen));
    }

    [Fact]
    public async Task The_same_content_counts_once_even_when_it_comes_at_the_same_time()
    {
        UploadOutcome[] outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => AddAsync(Uploads.Set("once")))));
        Assert.Equal(
            (1, 7), (outcomes.Count(static o => o == UploadOutcome.Added), outcomes.Count(static o => o == UploadOutcome.Duplicate)));
        Assert.Equal(UploadState.Kept, (await Index.FindAsync(New(Uploads.Set("once")).Hash, Stop)).State);
        Assert.Equal(1, Assert.Single(await Index.ListBuildDaysAsync("once", Stop)).Uploads);
    }

    [Fact]
    public async Task What_is_added_together_counts_as_what_comes_one_by_one()
    {
        NewUpload[] Of(string service)
        {
            BranchProfileSet[] sets =
            [
                Uploads.Set(service, minute: 5, count: ulong.MaxValue - 3),
                Uploads.Set(service),
                Uploads.Set(service, "bb02", minute: 24 * 60),
                Uploads.Set(service, minute: 3, host: "node-2"),
                Uploads.Set(service + "-b", minute: 4),
            ];
            sets[1].Add(Uploads.Set(service, "bb02", count: 7).Profiles.Values.Single());
            NewUpload[] uploads = [.. sets.Select(static set => New(set))];
            uploads[1] = uploads[1] with { Builds = [.. uploads[1].Builds.Select(static build => build with { Path = "/opt/earlier" })] };
            return [.. uploads, uploads[1]];
        }
        UploadOutcome[] expected =
            [.. Enumerable.Repeat(UploadOutcome.Added, 5), UploadOutcome.Duplicate];
        foreach ((NewUpload upload, UploadOutcome outcome) in Of("apart").Zip(expected))
            Assert.Equal(outcome, await Index.AddAsync(upload, Stop));
        Assert.Equal(expected, await Index.AddAsync(Of("joint"), Stop));
        Assert.Equal(await CountsAsync("apart"), await CountsAsync("joint"));
        Assert.Equal(await CountsAsync("apart-b"), await CountsAsync("joint-b"));
        Assert.All(await Index.AddAsync(Of("joint"), Stop), static again => Assert.Equal(UploadOutcome.Duplicate, again));
        Assert.Equal(await CountsAsync("apart"), await CountsAsync("joint"));

        async Task<string[]> CountsAsync(string service) =>
        [
            $"{(await Index.ListServicesAsync(Stop)).Single(one => one.Service == service) with { Service = "" }}",
            .. (await Index.ListBuildDaysAsync(service, Stop))
                .Select(day => day with { Path = $"{day.Path.Replace(service, "", StringComparison.Ordinal)} {day.Labels["host"]}" })
                .Select(static day => $"{day with { Labels = null! }}")
                .Order(StringComparer.Ordinal),
        ];
    }

    [Fact]
    public async Task A_span_selects_the_uploads_that_overlap_it()
    {
        for (int minute = 0; minute < 3; minute++)
            await AddAsync(Uploads.Set("span", minute: minute));
        DateTimeOffset[] at = [.. Enumerable.Range(0, 4).Select(static minute => Uploads.Start.AddMinutes(minute))];
        Assert.Equal(3, (await SelectedAsync("span", new(at[0], at[3]))).Length);
        Assert.Equal(2, (await SelectedAsync("span", new(at[1].AddSeconds(1), null))).Length);
        Assert.Single(await SelectedAsync("span", new(null, at[0].AddSeconds(1))));
        Assert.Empty(await SelectedAsync("span", new(null, at[0])));
    }

    [Fact]
    public async Task Nobodys_clock_files_an_upload_after_its_reception()
    {
        await AddAsync(Uploads.Set("ahead", minute: 3 * 24 * 60), received: Uploads.Start);
        BuildDay day = Assert.Single(await Index.ListBuildDaysAsync("ahead", Stop));
        Assert.Equal((Uploads.Start, 1), (day.LastSeen, day.Day.Day));
    }

    [Fact]
    public async Task Huge_counters_saturate()
    {
        await AddAsync(Uploads.Set("huge", count: ulong.MaxValue - 1));
        await AddAsync(Uploads.Set("huge", count: ulong.MaxValue - 2, minute: 1));
        Assert.Equal((ulong)long.MaxValue, (await Index.ListServicesAsync(Stop)).Single(static s => s.Service == "huge").Samples);
        Assert.Equal((ulong)long.MaxValue, Assert.Single(await Index.ListBuildDaysAsync("huge", Stop)).Branches);
    }

    [Fact]
    public async Task A_damaged_upload_is_told_until_it_is_sent_again()
    {
        NewUpload upload = New(Uploads.Set("damaged"));
        await Index.AddAsync(upload, Stop);
        ObjectSlice place = new(ObjectKeys.Upload(upload.Hash), 0, upload.Bytes);
        await Index.MarkDamagedAsync(upload.Hash, place with { Start = 1 }, Stop);
        Assert.Equal((UploadState.Kept, place), await Index.FindAsync(upload.Hash, Stop));
        await Index.MarkDamagedAsync(upload.Hash, place, Stop);
        Assert.Equal(UploadState.Damaged, (await Index.FindAsync(upload.Hash, Stop)).State);
        Assert.True(Assert.Single((await Index.SelectAsync("damaged", default, Stop)).Uploads).IsDamaged);
        Assert.Equal(UploadOutcome.Healed, await Index.AddAsync(upload, Stop));
        Assert.False(Assert.Single((await Index.SelectAsync("damaged", default, Stop)).Uploads).IsDamaged);
        Assert.Equal(1, Assert.Single(await Index.ListBuildDaysAsync("damaged", Stop)).Uploads);
    }

    [Fact]
    public async Task An_upload_is_read_where_it_was_put_last_and_uploads_are_told_in_the_order_of_their_places()
    {
        NewUpload[] uploads = [.. Enumerable.Range(0, 4).Select(static minute => New(Uploads.Set("places", minute: minute)))];
        await Index.AddAsync(uploads[0], Stop);
        await Index.AddAsync(uploads[1] with { Object = "packs/b1", StartAt = 7 }, Stop);
        await Index.AddAsync(uploads[2] with { Object = "packs/b1" }, Stop);
        await Index.AddAsync(uploads[3] with { Object = "packs/a1", StartAt = 100 }, Stop);
        Assert.Equal(
            [
                new ObjectSlice("packs/a1", 100, uploads[3].Bytes), new("packs/b1", 0, uploads[2].Bytes),
                new("packs/b1", 7, uploads[1].Bytes),
                new(ObjectKeys.Upload(uploads[0].Hash), 0, uploads[0].Bytes),
            ], await PlacesAsync());

        // The same message, compressed otherwise, is the same upload.
        NewUpload again = uploads[1] with { Object = "packs/c1", StartAt = 3, Bytes = uploads[1].Bytes + 9 };
        Assert.Equal(UploadOutcome.Duplicate, await Index.AddAsync(again, Stop));
        ObjectSlice moved = new("packs/c1", 3, again.Bytes);
        Assert.Equal((UploadState.Kept, moved), await Index.FindAsync(again.Hash, Stop));
        await Index.MarkDamagedAsync(again.Hash, new ObjectSlice("packs/b1", 7, uploads[1].Bytes), Stop);
        Assert.Equal((UploadState.Kept, moved), await Index.FindAsync(again.Hash, Stop));
        await Index.MarkDamagedAsync(again.Hash, moved, Stop);
        Assert.Equal((UploadState.Damaged, moved), await Index.FindAsync(again.Hash, Stop));
        Assert.Equal(UploadOutcome.Healed, await Index.AddAsync(uploads[1] with { Object = "packs/d1" }, Stop));
        Assert.Equal((UploadState.Kept, new ObjectSlice("packs/d1", 0, uploads[1].Bytes)), await Index.FindAsync(again.Hash, Stop));
        Assert.Equal(4, (await PlacesAsync()).Length);

        async Task<ObjectSlice[]> PlacesAsync() =>
            [.. (await Index.SelectAsync("places", default, Stop)).Uploads.Select(static upload => upload.Place)];
    }

    [Fact]
    public async Task Blocks_take_the_place_of_what_is_in_them_and_change_no_answer()
    {
        for (int minute = 0; minute < 150; minute += 10)
            await AddAsync(Uploads.Set("blocks", minute: minute, host: minute % 20 == 0 ? "node-1" : "node-2"));
        string inputs = await InputsAsync(Index, "blocks");
        DateTimeOffset late = Uploads.Start.AddDays(2);
        OpenPeriod[] open = [.. (await Index.ListOpenPeriodsAsync(days: false, late, 100, Stop)).Where(static p => p.Service == "blocks")];
        Assert.Equal([(10, 6L), (11, 6L), (12, 3L)], open.Select(static p => (p.Period.Start.Hour, p.Pieces)));
        foreach (OpenPeriod period in open)
            Assert.True(await Index.ReplaceAsync(await BlockOfAsync("blocks", period.Period), Stop));
        ProfileSelection selection = await Index.SelectAsync("blocks", default, Stop);
        Assert.Equal((0, 6), (selection.Uploads.Count, selection.Parts.Count));
        Assert.Equal(inputs, await InputsAsync(Index, "blocks"));
        Assert.DoesNotContain(await Index.ListOpenPeriodsAsync(days: false, late, 100, Stop), static p => p.Service == "blocks");

        // What comes late lies beside, until the period is added up again.
        await AddAsync(Uploads.Set("blocks", minute: 5));
        inputs = await InputsAsync(Index, "blocks");
        OpenPeriod day = Assert.Single(await Index.ListOpenPeriodsAsync(days: true, late, 100, Stop), static p => p.Service == "blocks");
        NewBlock block = await BlockOfAsync("blocks", day.Period);
        await AddAsync(Uploads.Set("blocks", minute: 7));
        Assert.True(await Index.ReplaceAsync(block, Stop));
        Assert.False(await Index.ReplaceAsync(block, Stop));
        selection = await Index.SelectAsync("blocks", default, Stop);
        Assert.Equal((1, 2), (selection.Uploads.Count, selection.Parts.Count));
        Assert.NotEqual(inputs, await InputsAsync(Index, "blocks"));

        // A span that cuts a block has its uploads one by one.
        selection = await Index.SelectAsync("blocks", new(null, Uploads.Start.AddMinutes(25)), Stop);
        Assert.Equal((5, 0), (selection.Uploads.Count, selection.Parts.Count));
        Assert.True(await Index.DissolveAsync(ObjectKeys.Block(block.Hash), Stop));
        Assert.Equal(17, (await SelectedAsync("blocks")).Length);
    }

    [Fact]
    public async Task What_is_forgotten_leaves_its_sums_and_later_these_too()
    {
        for (int day = 0; day < 3; day++)
            await AddAsync(Uploads.Set("old", buildId: $"a{day}", minute: day * 24 * 60));
        for (int day = 0; day < 2; day++)
            Assert.True(await Index.ReplaceAsync(await BlockOfAsync("old", BlockPeriod.DayOf(Uploads.Start.AddDays(day))), Stop));
        string inputs = await InputsAsync(Index, "old");
        NewUpload first = New(Uploads.Set("old", buildId: "a0"));
        Assert.Equal(1, await Index.ForgetUploadsAsync("old", Uploads.Start.AddDays(1), 100, Stop));
        Assert.Equal(0, await Index.ForgetUploadsAsync("old", Uploads.Start.AddDays(1), 100, Stop));
        Assert.Equal(UploadState.Forgotten, (await Index.FindAsync(first.Hash, Stop)).State);
        Assert.Equal(UploadOutcome.Duplicate, await Index.AddAsync(first, Stop));
        Assert.Equal(inputs, await InputsAsync(Index, "old"));
        // The block can no longer be taken apart, so a span that cuts it has it whole.
        ProfileSelection cut = await Index.SelectAsync("old", new(Uploads.Start.AddSeconds(30), null), Stop);
        Assert.Equal((1, 2), (cut.Uploads.Count, cut.Parts.Count));
        Assert.False(await Index.DissolveAsync(cut.Parts.First(p => p.Start == Uploads.Start).Object, Stop));

        Assert.Equal(1, await Index.ForgetPeriodsAsync("old", Uploads.Start.AddDays(1), Stop));
        Assert.Equal(UploadState.Unknown, (await Index.FindAsync(first.Hash, Stop)).State);
        Assert.Equal(["a1", "a2"], (await Index.ListBuildDaysAsync("old", Stop)).Select(static d => d.BuildId.ToString()).Order());
        ServiceTotals totals = (await Index.ListServicesAsync(Stop)).Single(static s => s.Service == "old");
        Assert.Equal((2L, 2L, 20UL), (totals.Builds, totals.Uploads, totals.Samples));
        Assert.True(await Index.ForgetServiceAsync("old", Stop));
        Assert.Empty(await Index.ListBuildDaysAsync("old", Stop));
    }
}
