using Perforator.Server.Storage;

namespace Perforator.Tests.Server;

/// <summary>What every <see cref="IBlobStore"/> does; a backend's tests derive from it.</summary>
public abstract class BlobStoreContract
{
    private protected abstract IBlobStore Store { get; }

    private Task PutAsync(string key, string content) =>
        Store.PutAsync(key, System.Text.Encoding.UTF8.GetBytes(content), CancellationToken.None);

    private async Task<string?> GetAsync(string key) =>
        await Store.FindAsync(key, CancellationToken.None) is { } path ? await File.ReadAllTextAsync(path) : null;

    [Fact]
    public async Task A_blob_is_found_under_its_key_and_never_changes()
    {
        Assert.Null(await GetAsync("results/aa"));
        await PutAsync("results/aa", "one");
        await PutAsync("results/aa", "two");
        await PutAsync("binaries/aa", "three");
        Assert.Equal(("one", "three"), (await GetAsync("results/aa"), await GetAsync("binaries/aa")));
    }

    [Fact]
    public async Task A_temporary_file_becomes_a_blob_and_is_gone()
    {
        string file = Store.CreateTemporaryFile();
        await File.WriteAllTextAsync(file, "content");
        await Store.PutFileAsync("binaries/bb", file, CancellationToken.None);
        Assert.Equal("content", await GetAsync("binaries/bb"));
        Assert.False(File.Exists(file));

        string again = Store.CreateTemporaryFile();
        await Store.PutFileAsync("binaries/bb", again, CancellationToken.None);
        Assert.Equal("content", await GetAsync("binaries/bb"));
        Assert.False(File.Exists(again));
    }

    [Theory]
    [InlineData("")]
    [InlineData("/etc/passwd")]
    [InlineData("results/../../x")]
    [InlineData("results/a\\b")]
    public async Task Keys_that_could_leave_the_store_are_refused(string key) =>
        await Assert.ThrowsAsync<ArgumentException>(() => Store.FindAsync(key, CancellationToken.None));
}
