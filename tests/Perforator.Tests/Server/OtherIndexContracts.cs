using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>What every <see cref="IBinaryCatalog"/> and <see cref="IObjectCollection"/> does; a backend's tests derive from it.</summary>
public abstract class BinaryCatalogContract
{
    private static CancellationToken Stop => CancellationToken.None;

    private protected abstract ServerStorage Storage { get; }

    private static BinaryFile File(string buildId, string content, bool debug = false, BinaryKind kind = BinaryKind.Executable) =>
        new(BuildId.Parse(buildId), kind, ObjectKeys.Binary(content), 10, 5, debug, Uploads.Start);

    [Fact]
    public async Task A_fuller_file_takes_the_place_of_a_stripped_one_and_of_no_other()
    {
        IBinaryCatalog catalog = Storage.Binaries;
        BinaryFile stripped = File("ca01", "c1"), full = File("ca01", "c2", debug: true), debug = File(
            "ca01", "c3", debug: true, BinaryKind.Debug);
        Assert.Empty(await catalog.FindAsync(stripped.BuildId, Stop));
        Assert.True(await catalog.AddAsync(stripped, replace: false, Stop));
        Assert.False(await catalog.AddAsync(File("ca01", "c4"), replace: false, Stop));
        Assert.True(await catalog.AddAsync(debug, replace: false, Stop));
        Assert.True(await catalog.AddAsync(full, replace: false, Stop));
        Assert.False(await catalog.AddAsync(stripped, replace: false, Stop));
        Assert.Equal([full, debug], await catalog.FindAsync(stripped.BuildId, Stop));
        Assert.True(await catalog.AddAsync(stripped, replace: true, Stop));
        await catalog.RemoveAsync(full, Stop);
        await catalog.RemoveAsync(stripped, Stop);
        Assert.Equal([debug], await catalog.FindAsync([stripped.BuildId, BuildId.Parse("ca02")], Stop));
    }

    [Fact]
    public async Task Files_of_builds_that_no_service_has_are_removed()
    {

        await Storage.Profiles.AddAsync(NewUpload.Of("cb", 1, Uploads.Set("user", buildId: "cb01"), Uploads.Start), Stop);
        await Storage.Binaries.AddAsync(File("cb01", "d1"), replace: false, Stop);
        await Storage.Binaries.AddAsync(File("cb02", "d2"), replace: false, Stop);
        Assert.Equal(0, await Storage.Binaries.RemoveUnusedAsync(Uploads.Start, Stop));
        Assert.True(await Storage.Binaries.RemoveUnusedAsync(Uploads.Start.AddDays(1), Stop) >= 1);
        Assert.Single(await Storage.Binaries.FindAsync(BuildId.Parse("cb01"), Stop));
        Assert.Empty(await Storage.Binaries.FindAsync(BuildId.Parse("cb02"), Stop));
    }

    [Fact]
    public async Task What_is_unlisted_is_collected_after_a_while_unless_it_is_listed_again()
    {
        IObjectCollection collection = Storage.Collection;
        await Storage.Binaries.AddAsync(File("cc01", "e1"), replace: false, Stop);
        string[] keys =
            [ObjectKeys.Binary("e1"), ObjectKeys.Binary("e2"), ObjectKeys.Binary("e3"), ObjectKeys.Upload("e4"), ObjectKeys.Block("e5"), ObjectKeys.Result("e6")];
        string[] unlisted = [.. await collection.UnlistedAsync(keys, Stop)];
        Assert.Equal(keys[1..], unlisted);
        await collection.NoteAsync(unlisted, Uploads.Start, Stop);
        await collection.NoteAsync(unlisted, Uploads.Start.AddDays(5), Stop);
        Assert.Empty((await collection.BeginAsync(Uploads.Start, 100, Stop)).Intersect(keys));
        await Storage.Binaries.AddAsync(File("cc02", "e2"), replace: false, Stop);

        string[] collecting = [.. (await collection.BeginAsync(Uploads.Start.AddDays(1), 100, Stop)).Intersect(keys)];
        Assert.Equal(keys[2..].Order(StringComparer.Ordinal), collecting.Order(StringComparer.Ordinal));
        // Nothing is listed under a key whose object may vanish any moment.
        Assert.False(await Storage.Binaries.AddAsync(File("cc03", "e3"), replace: false, Stop));
        NewUpload upload = NewUpload.Of("e4", 1, Uploads.Set("collecting"), Uploads.Start);
        Assert.Equal(UploadOutcome.Collecting, await Storage.Profiles.AddAsync(upload, Stop));
        await collection.EndAsync(collecting, Stop);
        Assert.True(await Storage.Binaries.AddAsync(File("cc03", "e3"), replace: false, Stop));
        Assert.Equal(UploadOutcome.Added, await Storage.Profiles.AddAsync(upload, Stop));
    }

    [Fact]
    public async Task A_pack_is_kept_as_long_as_one_upload_is_read_there()
    {
        IObjectCollection collection = Storage.Collection;
        string[] keys = [ObjectKeys.Pack("f1"), ObjectKeys.Pack("f2"), ObjectKeys.Upload("f3")];
        NewUpload[] uploads =
        [
            .. Enumerable.Range(0, 2).Select(
                day => NewUpload.Of($"f{day + 3}", 5, Uploads.Set("packed", minute: day * 24 * 60), Uploads.Start.AddDays(30))
                with { Object = keys[0], StartAt = day * 5 }),
        ];
        foreach (NewUpload upload in uploads)
            await Storage.Profiles.AddAsync(upload, Stop);
        Assert.Equal(keys[1..], await collection.UnlistedAsync(keys, Stop));

        // One is sent again and lies elsewhere from now on, the other is forgotten behind a block.
        await Storage.Profiles.AddAsync(uploads[1] with { Object = keys[1], StartAt = 0 }, Stop);
        Assert.Equal(keys[2..], await collection.UnlistedAsync(keys, Stop));
        UploadSetHash set = new();
        set.Add(uploads[0].Hash);
        Assert.True(await Storage.Profiles.ReplaceAsync(
            new NewBlock(
                "packed", BlockPeriod.DayOf(uploads[0].End), $"{set}", 1,
                [new NewPart(uploads[0].Labels, 0, 1, set, uploads[0].Start, uploads[0].End)],
                [uploads[0].Hash], []), Stop));
        Assert.Equal(keys[2..], await collection.UnlistedAsync(keys, Stop));
        Assert.Equal(1, await Storage.Profiles.ForgetUploadsAsync("packed", Uploads.Start.AddDays(1), 10, Stop));
        Assert.Equal([keys[0], keys[2]], await collection.UnlistedAsync(keys, Stop));

        // While it is collected no upload is listed in it.
        await collection.NoteAsync([keys[0]], Uploads.Start, Stop);
        string[] collecting = [.. (await collection.BeginAsync(Uploads.Start.AddDays(1), 100, Stop)).Intersect(keys)];
        Assert.Equal(keys[..1], collecting);
        NewUpload other = NewUpload.Of("f5", 5, Uploads.Set("packed", minute: 7), Uploads.Start.AddDays(30)) with { Object = keys[0] };
        Assert.Equal(UploadOutcome.Collecting, await Storage.Profiles.AddAsync(other, Stop));
        await collection.EndAsync(collecting, Stop);
        Assert.Equal(UploadOutcome.Added, await Storage.Profiles.AddAsync(other, Stop));
        Assert.Equal(keys[2..], await collection.UnlistedAsync(keys, Stop));
    }
}

/// <summary>What every <see cref="IResultIndex"/> does; a backend's tests derive from it.</summary>
public abstract class ResultIndexContract
{
    private static CancellationToken Stop => CancellationToken.None;

    private protected abstract IResultIndex Index { get; }

    private static KeptResult Result(string service, string key, string profile, int day = 0) => new(
        service, key, profile, Uploads.Start.AddDays(day), service + "{a=\"b\"}", null, Uploads.Start, 3, "inputs", ["aa01", "bb02"], 1.5,
        "{}", "text", "line", "1.0");

    [Fact]
    public async Task Results_are_found_by_what_went_in_and_by_what_came_out()
    {
        KeptResult first = await Index.AddAsync(Result("found", "k1", "abcdef0011"), Stop);
        Assert.Equal(Result("found", "k1", "abcdef0011") with { Id = first.Id, Builds = first.Builds }, first);
        Assert.Equal(["aa01", "bb02"], first.Builds);
        Assert.Equal("abcdef0011", (await Index.AddAsync(Result("found", "k1", "other"), Stop)).Profile);
        await Index.AddAsync(Result("found", "k2", "abcdef0022", day: 1), Stop);
        await Index.AddAsync(Result("found", "k3", "abcdef0011", day: 2), Stop);
        await Index.AddAsync(Result("found-b", "k4", "abcdef0011"), Stop);
        Assert.Equal("abcdef0022", (await Index.FindAsync("k2", Stop))!.Profile);
        Assert.Null(await Index.FindAsync("k9", Stop));
        Assert.Equal("k3", Assert.Single(await Index.FindByProfileAsync("found", "abcdef001", Stop)).Key);
        Assert.Equal(2, (await Index.FindByProfileAsync("found", "abcdef", Stop)).Count);
        Assert.Empty(await Index.FindByProfileAsync("found", "abd", Stop));
        Assert.Equal(["found", "found-b"], (await Index.ServicesOfAsync("abcdef0011", Stop)).Order());
        Assert.Equal(["k3", "k2"], (await Index.ListAsync("found", null, 2, Stop)).Select(static r => r.Key));
        Assert.Equal(["k1"], (await Index.ListAsync("found", (await Index.FindAsync("k2", Stop))!.Id, 2, Stop)).Select(static r => r.Key));
        await Index.RemoveAsync("k2", Stop);
        Assert.Null(await Index.FindAsync("k2", Stop));
    }

    [Fact]
    public async Task Who_asked_for_a_profile_is_told_as_long_as_that_is_kept()
    {
        await Index.AddAsync(Result("asked", "q0", "p0"), Stop);
        await Index.AddAsync(Result("asked", "q1", "p1", day: 1), Stop);
        await Index.NoteAskedAsync(Asked("p0", "farm", 1, "--min-ratio 1", "too few"), Stop);
        await Index.NoteAskedAsync(Asked("p0", "page", 2), Stop);
        await Index.NoteAskedAsync(Asked("p1", "farm", 3), Stop);
        // Who gave gates once and now only fetches the profile has not taken them back.
        await Index.NoteAskedAsync(Asked("p0", "farm", 4), Stop);
        Assert.Equal(
            [Asked("p0", "farm", 4, "--min-ratio 1", "too few"), Asked("p0", "page", 2)],
            await Index.ListAskedAsync("asked", ["p0"], Stop));
        Assert.Equal(3, (await Index.ListAskedAsync("asked", ["p0", "p1"], Stop)).Count);
        Assert.Empty(await Index.ListAskedAsync("asked", [], Stop));
        await Index.RemoveOldAsync(Uploads.Start.AddDays(100), Stop);
        Assert.Equal("p1", Assert.Single(await Index.ListAskedAsync("asked", ["p0", "p1"], Stop)).Profile);

        static KeptAsked Asked(string profile, string who, int minute, string gates = "", string unmet = "") =>
            new("asked", profile, who, Uploads.Start.AddMinutes(minute), gates, unmet);
    }

    [Fact]
    public async Task A_name_tells_what_it_stood_for_and_keeps_its_profiles()
    {
        foreach (int day in Enumerable.Range(0, 5))
            await Index.AddAsync(Result("named", $"n{day}", $"{day}", day), Stop);
        Assert.Equal(
            new KeptName("stable", "0", Uploads.Start, null), await Index.SetNameAsync("named", "stable", "0", Uploads.Start, Stop));
        Assert.Equal(
            new KeptName("stable", "1", Uploads.Start, "0"), await Index.SetNameAsync("named", "stable", "1", Uploads.Start, Stop));
        Assert.Equal("0", (await Index.SetNameAsync("named", "stable", "1", Uploads.Start, Stop)).Previous);
        Assert.Equal("stable", Assert.Single(await Index.ListNamesAsync("named", Stop)).Name);
        await Index.RemoveOldAsync(Uploads.Start.AddDays(100), Stop);
        Assert.Equal(["n4", "n1", "n0"], (await Index.ListAsync("named", null, 10, Stop)).Select(static r => r.Key));
        Assert.True(await Index.RemoveNameAsync("named", "stable", Stop));
        Assert.False(await Index.RemoveNameAsync("named", "stable", Stop));
    }
}

/// <summary>What every <see cref="IAgentStore"/> does; a backend's tests derive from it.</summary>
public abstract class AgentStoreContract
{
    private static CancellationToken Stop => CancellationToken.None;

    private protected abstract IAgentStore Store { get; }

    [Fact]
    public async Task The_latest_word_of_each_agent_is_kept_until_it_was_silent_for_long()
    {
        await Store.PutAsync([Agent("a", 1, "first"), Agent("b", 1, "{}")], Uploads.Start, Stop);
        await Store.PutAsync([Agent("a", 0, "late")], Uploads.Start, Stop);
        Assert.Equal(
            [Agent("a", 1, "first"), Agent("b", 1, "{}")],
            (await Store.ListAsync(Uploads.Start, Stop)).OrderBy(static agent => agent.Host));
        await Store.PutAsync([Agent("a", 5, "later"), Agent("c\u202e", 4, "c")], Uploads.Start.AddMinutes(2), Stop);
        Assert.Equal(
            [Agent("a", 5, "later"), Agent("c\u202e", 4, "c")],
            (await Store.ListAsync(Uploads.Start, Stop)).OrderBy(static agent => agent.Host));
        Assert.Equal("a", Assert.Single(await Store.ListAsync(Uploads.Start.AddMinutes(5), Stop)).Host);
        // Many servers may hear of the same hosts at once.
        await Task.WhenAll(Enumerable.Range(0, 8).Select(server => Store.PutAsync(
            [.. Enumerable.Range(0, 100).Select(host => Agent($"h{(host * (server + 1)) % 100}", 10 + server, $"{server}"))
                .DistinctBy(static agent => agent.Host)], Uploads.Start, Stop)));
        Assert.Equal(100, (await Store.ListAsync(Uploads.Start.AddMinutes(10), Stop)).Count);
    }

    private static KeptAgent Agent(string host, int minute, string report) => new(host, Uploads.Start.AddMinutes(minute), report);
}

/// <summary>What every <see cref="ITaskQueue"/> does; a backend's tests derive from it.</summary>
public abstract class TaskQueueContract
{
    private static CancellationToken Stop => CancellationToken.None;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);

    private protected abstract ITaskQueue Queue { get; }

    [Fact]
    public async Task Askers_of_the_same_meet_in_one_task_which_one_worker_has()
    {
        ServerTask[] asked = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Queue.EnqueueAsync("k", "same", "payload", Stop)));
        string id = Assert.Single(asked.Select(static task => task.Id).Distinct());
        ServerTask?[] leased = await Task.WhenAll(Enumerable.Range(0, 4).Select(worker => Queue.LeaseAsync($"w{worker}", Long, Stop)));
        ServerTask mine = Assert.Single(leased, static task => task is not null)!;
        Assert.Equal((id, "payload", TaskState.Running), (mine.Id, mine.Payload, mine.State));
        string worker = $"w{Array.IndexOf(leased, mine)}";

        Assert.False(await Queue.RenewAsync(id, "another", Long, Stop));
        Assert.True(await Queue.RenewAsync(id, worker, Long, Stop));
        Assert.Equal(id, (await Queue.EnqueueAsync("k", "same", "payload", Stop)).Id);
        Assert.False(await Queue.EndAsync(id, "another", failed: false, "wrong", Stop));
        Assert.True(await Queue.EndAsync(id, worker, failed: false, "outcome", Stop));
        ServerTask done = (await Queue.FindAsync(id, Stop))!;
        Assert.Equal((TaskState.Done, "outcome"), (done.State, done.Outcome));

        // Asked for again, it is another one.
        ServerTask again = await Queue.EnqueueAsync("k", "same", "payload", Stop);
        Assert.NotEqual(id, again.Id);
        Assert.Equal(again.Id, (await Queue.LeaseAsync("w", Long, Stop))!.Id);
        await Queue.ReturnAsync(again.Id, "w", Stop);
        Assert.Equal(TaskState.Waiting, (await Queue.FindAsync(again.Id, Stop))!.State);
        Assert.Equal(again.Id, (await Queue.LeaseAsync("w", Long, Stop))!.Id);
        Assert.True(await Queue.EndAsync(again.Id, "w", failed: true, "why", Stop));
        Assert.Equal(TaskState.Failed, (await Queue.FindAsync(again.Id, Stop))!.State);
        Assert.True(await Queue.RemoveEndedAsync(DateTimeOffset.UtcNow.AddDays(1), Stop) >= 2);
        Assert.Null(await Queue.FindAsync(id, Stop));
    }

    [Fact]
    public async Task A_task_whose_worker_died_is_taken_over()
    {
        ServerTask task = await Queue.EnqueueAsync("k", "orphan", "", Stop);
        Assert.Equal(task.Id, (await Queue.LeaseAsync("dead", TimeSpan.FromSeconds(-1), Stop))!.Id);
        Assert.Equal(task.Id, (await Queue.LeaseAsync("heir", Long, Stop))!.Id);
        Assert.False(await Queue.EndAsync(task.Id, "dead", failed: false, "late", Stop));
        Assert.True(await Queue.EndAsync(task.Id, "heir", failed: false, "done", Stop));
        Assert.Null(await Queue.LeaseAsync("idle", Long, Stop));
    }
}
