using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.RegularExpressions;
using Npgsql;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Server.Storage;
using Perforator.Server.Storage.Embedded;
using Perforator.Server.Storage.Fleet;

namespace Perforator.Benchmarks;

/// <summary>
/// A real <c>perforator serve</c> on loopback under a fleet's uploads: how many profiles a second it acknowledges and how soon, what it
/// keeps of each, and how long a sum over all uploads of a service takes before and after they were added up into blocks.
/// </summary>
internal sealed partial class ServiceMeasurement : IDisposable
{
    private const int Services = 500, HostsOfService = 50, Clients = 32;

    private const string Summed = "summed";

    /// <summary>How often a sum is timed, after one more upload each.</summary>
    private const int Sums = 3;

    private readonly string cli;
    private readonly string[] options;
    private readonly byte[][] templates;
    private readonly ElfFile binary;
    private readonly BuildId build;
    private readonly string binaryPath;
    private readonly Random random = new(7);
    private LoopbackServer? server;
    private int sentAgain, acknowledged;

    private ServiceMeasurement(string cli, string binaryPath, string[] options)
    {
        (this.cli, this.options, this.binaryPath) = (cli, options, binaryPath);
        binary = ElfFile.Load(binaryPath);
        build = binary.BuildId;
        // Hosts see the same code in other proportions: eight walks of it.
        templates = [.. Enumerable.Range(1, 8).Select(Walk)];
    }

    /// <summary>Measures one backend: <c>service NAME SECONDS UPLOADS CLI BINARY OPTION-OF-SERVE…</c>.</summary>
    public static async Task<int> RunAsync(string name, int seconds, int uploads, string cli, string binary, string[] options)
    {
        using ServiceMeasurement measurement = new(cli, binary, options);
        await measurement.MeasureAsync(name, seconds, uploads);
        return 0;
    }

    private async Task MeasureAsync(string name, int seconds, int uploads)
    {
        await StartAsync("--compact-every", "100000");
        await server!.Api.UploadBinaryAsync(build, binaryPath, CancellationToken.None);
        BranchProfileSet one = BranchProfileCodec.Decode(templates[0]);
        Say($"{name}: profiles of {one.Profiles.Values.Single().Branches.Count:N0} distinct branches, {Clients} connections, {Services} services");

        // Ingest, of services that each have one build.
        byte[][] bodies = Bodies(
            seconds * 900,
            i => ($"service-{i % Services:000}", $"host-{i / Services % HostsOfService:00}", DateTimeOffset.UtcNow.AddSeconds(-(i / Services))));
        List<double> memory = [];
        Load load = await SendAsync(bodies, TimeSpan.FromSeconds(seconds), memory);
        Row($"uploads acknowledged a second, {load.Seconds:0} s long", $"{load.Latencies.Length / load.Seconds:0}");
        Row("time of an upload: median, 99 of 100, longest, ms", $"{At(load.Latencies, 0.5):0.0}, {At(load.Latencies, 0.99):0.0}, {load.Latencies[^1]:0.0}");
        Row("CPU of client, server in that time, of two cores", $"{load.ClientCpu / load.Seconds / 2:0 %}, {load.ServerCpu / load.Seconds / 2:0 %}");
        int third = memory.Count / 3;
        Row("memory of the server: first, last third's mean, most, MB", $"{memory.Take(third).Average():0}, {memory.TakeLast(third).Average():0}, {memory.Max():0}");
        Row("uploads answered with 503 and sent again", $"{sentAgain}");
        Row("bytes of an upload as sent, mean", $"{bodies.Take(load.Latencies.Length).Average(static body => body.Length):N0}");
        Row($"list of {Services} services, median of 21, ms", $"{await TimeAsync(21, ApiRoutes.Services):0.0}");

        // A sum over the uploads of one service, of each minute of 50 hosts, yesterday.
        foreach (int count in (int[])[uploads / 4, uploads])
        {
            long have = await CountAsync();
            DateTimeOffset begin = new(DateTimeOffset.UtcNow.Date.AddDays(-1), TimeSpan.Zero);
            for (long at = have; at < count; at += 4000)
            {
                byte[][] some = Bodies(
                    (int)Math.Min(4000, count - at),
                    i => (Summed, $"host-{(at + i) % HostsOfService:00}", begin.AddMinutes((at + i) / HostsOfService % 1439)));
                await SendAsync(some, TimeSpan.FromHours(1), null);
            }
            Row($"sum over {await CountAsync():N0} uploads of a service, one by one, s", $"{await SumAsync():0.00}");
        }
        Row("… and 'perforator pgo', s", $"{Pgo():0.00}");
        await server!.StopAsync();

        await StartAsync("--compact-every", "1");
        // Those that were sent before each sum are of this hour, which is not over.
        await WaitForBlocksAsync(uploads - Sums);
        Row("the same after they were added up, s", $"{await SumAsync():0.00}");
        Row("… and 'perforator pgo', s", $"{Pgo():0.00}");
        Row($"list of {Services} services then, median of 21, ms", $"{await TimeAsync(21, ApiRoutes.Services):0.0}");
        Row("a service's page then, median of 21, ms", $"{await TimeAsync(21, ApiRoutes.To(ApiRoutes.Service, [Summed])):0.0}");
        await server!.StopAsync();
        await WeighAsync(uploads);
    }

    /// <summary>
    /// What is kept when the server has ended, by class; and what a service of so many hosts that each send a profile a minute adds to it
    /// in a day.
    /// </summary>
    private async Task WeighAsync(int uploads)
    {
        string folder = Directory.CreateTempSubdirectory("perforator-service-").FullName;
        try
        {
            ScratchFolder scratch = new(Path.Combine(folder, "tmp"));
            IObjectStore objects = OptionOf("--objects") is { } url
                ? new S3ObjectStore(ObjectsUrl.Parse(url), scratch, Path.Combine(folder, "cache"), 0)
                : new FileObjectStore(Path.Combine(OptionOf("--data")!, "blobs"), scratch);
            (long packs, long bytesOfAll) = await SizeAsync(ObjectKeys.Packs, "");
            double day = 1440.0 * HostsOfService, upload = (double)bytesOfAll / acknowledged, database = (double)await DatabaseBytesAsync() / acknowledged;
            Row("uploads in an object, mean", $"{(double)acknowledged / packs:0.0}");
            (long hours, long bytesOfHours) = await SizeAsync("sums/", "-hour");
            (_, long bytesOfDays) = await SizeAsync("sums/", "-day");
            Row("bytes of an upload, of its rows in the database, mean", $"{upload:N0}, {database:N0}");
            Row($"bytes of the sums of {hours} hours, of their day", $"{bytesOfHours:N0}, {bytesOfDays:N0}");
            Row($"bytes of a service of {HostsOfService} hosts and a day: uploads, hours, day, rows",
                $"{day * upload:N0}, {day / uploads * bytesOfHours:N0}, {bytesOfDays:N0}, {day * database:N0}");
            (long results, long bytesOfResults) = await SizeAsync("results/", "");
            Row("bytes of a generated profile, of the binary", $"{bytesOfResults / results:N0}, {(await SizeAsync("binaries/", "")).Bytes:N0}");

            async Task<(long Count, long Bytes)> SizeAsync(string prefix, string end)
            {
                (long count, long bytes) = (0, 0);
                await foreach (StoredObject one in objects.ListAsync(prefix, CancellationToken.None))
                    if (one.Key.EndsWith(end, StringComparison.Ordinal))
                        (count, bytes) = (count + 1, bytes + one.Bytes);
                return (count, bytes);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task<long> DatabaseBytesAsync()
    {
        if (OptionOf("--database") is not { } url)
            return new FileInfo(Path.Combine(OptionOf("--data")!, "perforator.db")).Length;
        await using NpgsqlConnection connection = new(DatabaseUrl.Parse(url).ToString());
        await connection.OpenAsync();
        await using NpgsqlCommand command = new("SELECT pg_database_size(current_database())", connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    private string? OptionOf(string name) => Array.IndexOf(options, name) is >= 0 and var at ? options[at + 1] : null;

    private sealed record Load(double[] Latencies, double Seconds, double ClientCpu, double ServerCpu);

    /// <summary>Sends from all connections until there is no more or time is up.</summary>
    private async Task<Load> SendAsync(byte[][] bodies, TimeSpan limit, List<double>? memory)
    {
        int next = -1;
        List<double>[] latencies = new List<double>[Clients];
        TimeSpan own = Process.GetCurrentProcess().TotalProcessorTime, servers = ServerCpu();
        long begin = Stopwatch.GetTimestamp();
        using CancellationTokenSource done = new();
        Task watching = memory is null ? Task.CompletedTask : WatchAsync(memory, done.Token);
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(async at =>
        {
            latencies[at] = [];
            while (Interlocked.Increment(ref next) is var i && i < bodies.Length && Stopwatch.GetElapsedTime(begin) < limit)
            {
                long start = Stopwatch.GetTimestamp();
                while (!await TryUploadAsync(bodies[i]))
                    await Task.Delay(TimeSpan.FromSeconds(1));
                latencies[at].Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
        }));
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        await done.CancelAsync();
        await watching;
        return new Load(
            [.. latencies.SelectMany(static one => one).Order()], seconds,
            (Process.GetCurrentProcess().TotalProcessorTime - own).TotalSeconds,
            (ServerCpu() - servers).TotalSeconds);
    }

    /// <summary>False when the server cannot take it now, and it is to be sent again, as agents do.</summary>
    private async Task<bool> TryUploadAsync(byte[] body)
    {
        using ByteArrayContent content = new(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(ApiMediaTypes.Branches);
        using HttpResponseMessage response = await server!.Http.PostAsync(ApiRoutes.Profiles, content);
        if (response.StatusCode == HttpStatusCode.ServiceUnavailable)
        {
            Interlocked.Increment(ref sentAgain);
            return false;
        }
        if (!response.IsSuccessStatusCode)
            throw new InvalidOperationException($"an upload was refused: {await response.Content.ReadAsStringAsync()}");
        Interlocked.Increment(ref acknowledged);
        return true;
    }

    private async Task WatchAsync(List<double> memory, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            server!.Process.Refresh();
            memory.Add(server.Process.WorkingSet64 / 1e6);
            await Task.Delay(250, CancellationToken.None);
        }
    }

    private TimeSpan ServerCpu()
    {
        server!.Process.Refresh();
        return server.Process.TotalProcessorTime;
    }

    /// <summary>Profiles of a minute each, encoded beforehand: no two are the same.</summary>
    private byte[][] Bodies(int count, Func<int, (string Service, string Host, DateTimeOffset End)> of)
    {
        byte[][] bodies = new byte[count][];
        int seed = random.Next();
        Parallel.For(0, count, i =>
        {
            BranchProfileSet set = BranchProfileCodec.Decode(templates[i % templates.Length]);
            (string service, string host, DateTimeOffset end) = of(i);
            (set.Start, set.End, set.TotalSamples) = (end.AddMinutes(-1), end, set.TotalSamples
                + (ulong)(uint)HashCode.Combine(seed, i) % 1000);
            set.Labels[ProfileLabels.Service] = service;
            set.Labels[ProfileLabels.Host] = host;
            bodies[i] = BranchProfileCodec.Encode(set);
        });
        return bodies;
    }

    private byte[] Walk(int seed)
    {
        const int Stacks = 240;
        BranchWalker walker = new(binary, seed);
        BranchProfile profile = new(build, binaryPath) { Samples = Stacks };
        for (int i = 0; i < Stacks; i++)
        {
            ReadOnlySpan<(ulong From, ulong To)> stack = walker.NextStack();
            for (int at = 0; at < stack.Length; at++)
            {
                bool runsOn = at > 0 && stack[at - 1].From >= stack[at].To;
                profile.AddTrace(new(stack[at].From), new(stack[at].To), runsOn ? new(stack[at - 1].From) : BinaryAddress.External, 1);
            }
            profile.BranchEntries += (ulong)stack.Length;
        }
        BranchProfileSet set = new() { TotalSamples = Stacks };
        set.Labels[ProfileLabels.Source] = "lbr";
        set.Add(profile);
        return BranchProfileCodec.Encode(set);
    }

    private async Task<long> CountAsync()
    {
        try
        {
            return (await server!.Api.GetServiceAsync(Summed, CancellationToken.None)).Builds.Sum(static one => (long)one.Profiles);
        }
        catch (ServerException e) when (e.Failure == ServerFailure.NotFound)
        {
            return 0;
        }
    }

    /// <summary>Seconds until the first sum after one more upload, so that none is remembered.</summary>
    private async Task<double> SumAsync()
    {
        List<double> took = [];
        for (int i = 0; i < Sums; i++)
        {
            await SendAsync(Bodies(1, static _ => (Summed, "host-00", DateTimeOffset.UtcNow)), TimeSpan.FromMinutes(1), null);
            long begin = Stopwatch.GetTimestamp();
            using HttpResponseMessage response =
                await server!.Http.GetAsync(ApiRoutes.To(ApiRoutes.Branches, [Summed], ("buildId", build.ToString())));
            if (!response.IsSuccessStatusCode)
                throw new InvalidOperationException(await response.Content.ReadAsStringAsync());
            await response.Content.ReadAsByteArrayAsync();
            took.Add(Stopwatch.GetElapsedTime(begin).TotalSeconds);
        }
        return took.Order().ElementAt(Sums / 2);
    }

    private double Pgo()
    {
        string to = Path.GetTempFileName();
        try
        {
            return MeasuredProcess.Run(cli, "pgo", Summed, "--server", server!.Address.ToString(), "-o", to).Seconds;
        }
        finally
        {
            File.Delete(to);
        }
    }

    private async Task<double> TimeAsync(int times, string path)
    {
        List<double> took = [];
        for (int i = 0; i < times; i++)
        {
            long begin = Stopwatch.GetTimestamp();
            await server!.Http.GetByteArrayAsync(path);
            took.Add(Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
        }
        return took.Order().ElementAt(times / 2);
    }

    [GeneratedRegex(@"^perforator_compaction_uploads\S* ([0-9]+)", RegexOptions.Multiline)]
    private static partial Regex AddedUp();

    private async Task WaitForBlocksAsync(int uploads)
    {
        for (int i = 0; i < 600; i++)
        {
            Match match = AddedUp().Match(await server!.Http.GetStringAsync("metrics"));
            if (match.Success && long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) >= uploads)
                return;
            await Task.Delay(500);
        }
        throw new InvalidOperationException("the uploads were not added up within five minutes");
    }

    private async Task StartAsync(params string[] more)
    {
        server?.Dispose();
        server = await LoopbackServer.StartAsync(cli, [.. options, .. more]);
    }

    private static double At(double[] sorted, double share) => sorted[(int)Math.Min(sorted.Length - 1, sorted.Length * share)];

    private static void Row(string what, string figure) => Say($"| {what} | {figure} |");

    private static void Say(FormattableString text) => Console.WriteLine(text.ToString(CultureInfo.InvariantCulture));

    public void Dispose()
    {
        server?.Dispose();
        binary.Dispose();
    }
}
