using System.Text;
using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>What every <see cref="IObjectStore"/> does; a backend's tests derive from it.</summary>
public abstract class ObjectStoreContract
{
    private static CancellationToken Stop => CancellationToken.None;

    private protected abstract IObjectStore Store { get; }

    private protected abstract ScratchFolder Scratch { get; }

    private Task PutAsync(string key, string content) => Store.PutAsync(key, Encoding.UTF8.GetBytes(content), Stop);

    private async Task<string?> GetAsync(string key)
    {
        await using Stream? stream = await Store.OpenAsync(key, Stop);
        if (stream is null)
            return null;
        using StreamReader reader = new(stream);
        return await reader.ReadToEndAsync();
    }

    [Fact]
    public async Task An_object_is_found_under_its_key_and_putting_it_again_replaces_it_whole()
    {
        Assert.Null(await GetAsync("results/aa"));
        await PutAsync("results/aa", "one, and longer");
        await PutAsync("binaries/aa", "three");
        await PutAsync("results/aa", "two");
        Assert.Equal(("two", "three"), (await GetAsync("results/aa"), await GetAsync("binaries/aa")));
        await PutAsync("results/empty", "");
        Assert.Equal("", await GetAsync("results/empty"));
    }

    /// <summary>As a pack is: a part of a larger buffer that is used again.</summary>
    [Fact]
    public async Task What_is_put_may_be_a_part_of_a_buffer_that_is_used_again()
    {
        byte[] buffer = "[content]"u8.ToArray();
        await Store.PutAsync("packs/aa", buffer.AsMemory(1, 7), Stop);
        buffer.AsSpan().Clear();
        Assert.Equal("content", await GetAsync("packs/aa"));
    }

    [Fact]
    public async Task A_scratch_file_becomes_an_object_and_is_gone()
    {
        string file = Scratch.CreateFile();
        await File.WriteAllTextAsync(file, "content");
        await Store.PutFileAsync("binaries/bb", file, Stop);
        Assert.Equal(("content", false), (await GetAsync("binaries/bb"), File.Exists(file)));
        using LocalObject leased = (await Store.LeaseAsync("binaries/bb", Stop))!;
        Assert.Equal("content", await File.ReadAllTextAsync(leased.Path));
        Assert.Null(await Store.LeaseAsync("binaries/none", Stop));
    }

    [Fact]
    public async Task Parts_of_an_object_are_read_as_far_as_it_goes()
    {
        await PutAsync("sums/cc", "0123456789");
        byte[] part = "345"u8.ToArray();
        Assert.Equal(part, await Store.ReadAsync("sums/cc", 3, 3, Stop));
        Assert.Equal("89"u8.ToArray(), await Store.ReadAsync("sums/cc", 8, 100, Stop));
        Assert.Equal("34567"u8.ToArray(), await Store.ReadAsync(new ObjectSlice("sums/cc", 3, 5), Stop));
        Assert.Equal("3456789"u8.ToArray(), await Store.ReadAsync(new ObjectSlice("sums/cc", 3, 0), Stop));
        Assert.Equal("0123456789"u8.ToArray(), await Store.ReadAsync("sums/cc", 0, int.MaxValue, Stop));
        Assert.Empty((await Store.ReadAsync("sums/cc", 20, 5, Stop))!);
        Assert.Null(await Store.ReadAsync("sums/none", 0, 1, Stop));
    }

    [Fact]
    public async Task What_there_is_is_listed_by_prefix_and_told_without_reading_it()
    {
        await PutAsync("profiles/one", "1");
        await PutAsync("profiles/two", "22");
        await PutAsync("results/three", "333");
        List<(string, long)> listed = [];
        await foreach (StoredObject found in Store.ListAsync("profiles/", Stop))
            listed.Add((found.Key, found.Bytes));
        Assert.Equal([("profiles/one", 1), ("profiles/two", 2)], listed.Order());
        StoredObject stat = (await Store.StatAsync("results/three", Stop))!;
        Assert.Equal(("results/three", 3L), (stat.Key, stat.Bytes));
        Assert.True(DateTimeOffset.UtcNow - stat.Modified < TimeSpan.FromHours(1));
        Assert.Null(await Store.StatAsync("results/none", Stop));
    }

    [Fact]
    public async Task A_deleted_object_is_gone_but_not_for_who_reads_it()
    {
        await PutAsync("results/dd", "content");
        await using Stream open = (await Store.OpenAsync("results/dd", Stop))!;
        await Store.DeleteAsync("results/dd", Stop);
        await Store.DeleteAsync("results/dd", Stop);
        Assert.Null(await GetAsync("results/dd"));
        Assert.Null(await Store.StatAsync("results/dd", Stop));
        using StreamReader reader = new(open);
        Assert.Equal("content", await reader.ReadToEndAsync());
    }

    [Fact]
    public async Task A_damaged_object_moves_aside_and_another_takes_its_place()
    {
        await PutAsync("sums/ee", "damaged");
        await Store.QuarantineAsync("sums/ee", Stop);
        await Store.QuarantineAsync("sums/none", Stop);
        Assert.Equal((null, "damaged"), (await GetAsync("sums/ee"), await GetAsync("quarantine/sums/ee")));
        await PutAsync("sums/ee", "whole");
        Assert.Equal(("whole", "damaged"), (await GetAsync("sums/ee"), await GetAsync("quarantine/sums/ee")));
        await foreach (StoredObject found in Store.ListAsync("sums/", Stop))
            Assert.DoesNotContain("quarantine", found.Key, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("/etc/passwd")]
    [InlineData("results/../../x")]
    [InlineData("results/a\\b")]
    public async Task Keys_that_could_leave_the_store_are_refused(string key) =>
        await Assert.ThrowsAsync<ArgumentException>(() => Store.StatAsync(key, Stop));
}
