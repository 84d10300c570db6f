using Perforator.Api;
using Perforator.Server.Demand;
using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>What every <see cref="IDemandStore"/> does; a backend's tests derive from it.</summary>
public abstract class DemandStoreContract
{
    private static CancellationToken Stop => CancellationToken.None;

    private protected abstract ServerStorage Storage { get; }

    private static KeptDemand Demand(string service, string build, long version = 0, int minute = 0, string figures = "{}") =>
        new(service, BuildId.Parse(build), version, Uploads.Start.AddMinutes(minute), figures, [1, 2, 3]);

    [Fact]
    public async Task What_another_server_has_changed_is_not_overwritten()
    {
        IDemandStore store = Storage.Demand;
        Assert.Null(await store.FindAsync("store-a", BuildId.Parse("da01"), Stop));
        Assert.True(await store.PutAsync(Demand("store-a", "da01"), Stop));
        Assert.False(await store.PutAsync(Demand("store-a", "da01", figures: "lost"), Stop));
        KeptDemand kept = (await store.FindAsync("store-a", BuildId.Parse("da01"), Stop))!;
        Assert.Equal((1, "{}", Uploads.Start), (kept.Version, kept.Figures, kept.Seen));
        Assert.Equal([1, 2, 3], kept.Evidence);
        bool[] puts =
            await Task.WhenAll(
                Enumerable.Range(0, 5).Select(i => store.PutAsync(Demand("store-a", "da01", 1, minute: 1, figures: $"{i}"), Stop)));
        Assert.Single(puts, true);
        kept = (await store.FindAsync("store-a", BuildId.Parse("da01"), Stop))!;
        Assert.Equal((2, $"{Array.IndexOf(puts, true)}"), (kept.Version, kept.Figures));
    }

    [Fact]
    public async Task Builds_are_listed_while_they_are_seen_and_forgotten_after_and_with_their_service()
    {
        IDemandStore store = Storage.Demand;
        foreach (string build in (string[])["db02", "db01"])
            await store.PutAsync(Demand("store-b", build, minute: 100), Stop);
        await store.PutAsync(Demand("store-b", "db00"), Stop);
        Assert.Equal(
            ["db01", "db02"],
            (await store.ListAsync(Uploads.Start.AddMinutes(50), Stop)).Where(static one => one.Service == "store-b")
                .Select(static one => $"{one.BuildId}"));
        Assert.True(await store.RemoveAsync(Uploads.Start.AddMinutes(50), Stop) >= 1);
        Assert.Null(await store.FindAsync("store-b", BuildId.Parse("db00"), Stop));
        await Storage.Profiles.AddAsync(NewUpload.Of("dddd", 1, Uploads.Set("store-b"), Uploads.Start), Stop);
        await Storage.Profiles.ForgetServiceAsync("store-b", Stop);
        Assert.DoesNotContain(await store.ListAsync(Uploads.Start, Stop), static one => one.Service == "store-b");
    }

    [Fact]
    public async Task Servers_that_each_hear_of_some_hosts_tell_every_host_the_same()
    {
        Planner[] servers = [.. Enumerable.Range(0, 2).Select(_ => new Planner(Storage, new EnrolmentFile(null), TimeProvider.System))];
        foreach (int host in Enumerable.Range(0, 400))
        {
            servers[host % 2].Answer(new PlanRequest($"h{host}", [new RunningService("store-c", ["dc01"], 0.5, 60_000, 60)]));
            if (host < 40)
                servers[host % 2].Uploaded(Uploads.Set("store-c", "dc01", count: 1000, host: $"h{host}"), $"hash-{host}", isNew: true);
        }
        foreach (Planner server in (Planner[])[.. servers, .. servers])
            await server.UpdateAsync(Stop);
        BuildFigures figures = System.Text.Json.JsonSerializer.Deserialize(
            (await Storage.Demand.ListAsync(Uploads.Start, Stop)).Single(static one => one.Service == "store-c").Figures,
            DemandJson.Default.BuildFigures)!;
        Assert.Equal((40_000, 2000), (figures.Branches, figures.BranchesPerHostSecond));
        Assert.InRange(figures.Hosts, 390, 410);
        double[][] rates = [.. servers.Select(static server => Enumerable.Range(0, 400).Select(host =>
            server.Answer(new PlanRequest($"h{host}", [new RunningService("store-c", ["dc01"], 0, 0, 0)])).Services[0].Rate).ToArray())];
        Assert.Equal(rates[0], rates[1]);
        // What is missing of a million branches in three minutes is not much for 400 hosts: some of them are drawn, at a part of their
        // budget.
        Assert.InRange(rates[0].Count(static rate => rate > 0), 16, 64);
        Assert.All(rates[0], static rate => Assert.InRange(rate, 0, 0.25));
    }
}
