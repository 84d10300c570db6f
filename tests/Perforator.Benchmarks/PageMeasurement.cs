using System.Diagnostics;
using System.Globalization;
using Microsoft.Playwright;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Disassembly;
using Perforator.Elf;

namespace Perforator.Benchmarks;

/// <summary>
/// The page in Debian's chromium on a real server: when its first content is there with 2,000 services, and how long it keeps the browser
/// busy at a time with a profile of 20,000 functions.
/// </summary>
internal sealed class PageMeasurement
{
    private const int Services = 2000, Rounds = 7;

    private const string Large = "large";

    /// <summary>Notes when the first row of a table is there, and each task of the browser's that took 50 ms or more.</summary>
    private const string Watch = """
        window.longTasks = [];
        new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(task => task.duration))).observe({ type: 'longtask', buffered: true });
        const seen = new MutationObserver(() => {
          if (!document.querySelector('tbody tr')) return;
          seen.disconnect();
          requestAnimationFrame(() => { window.firstRow = performance.now(); });
        });
        seen.observe(document, { childList: true, subtree: true });
        """;

    private readonly LoopbackServer server;

    private PageMeasurement(LoopbackServer server) => this.server = server;

    /// <summary>Measures: <c>page CLI FOLDER BINARY</c>, where the binary has many functions that loop and call each other.</summary>
    public static async Task<int> RunAsync(string cli, string folder, string binary)
    {
        using LoopbackServer server = await LoopbackServer.StartAsync(cli, "--data", folder);
        PageMeasurement measurement = new(server);
        await measurement.FillAsync(binary);
        using IPlaywright playwright = await Playwright.CreateAsync();
        await using IBrowser browser = await playwright.Chromium.LaunchAsync(
            new() { ExecutablePath = "/usr/bin/chromium", Args = ["--no-sandbox", "--disable-dev-shm-usage"] });
        await measurement.MeasureFleetAsync(browser);
        await measurement.MeasureProfileAsync(browser);
        await server.StopAsync();
        return 0;
    }

    private async Task FillAsync(string path)
    {
        using ElfFile binary = ElfFile.Load(path);
        await server.Api.UploadBinaryAsync(binary.BuildId, path, CancellationToken.None);
        DateTimeOffset now = DateTimeOffset.UtcNow;
        await UploadAsync(Large, Walk(binary, path), "host-1", now);
        BranchProfile few = new(binary.BuildId, path) { Samples = 1000, BranchEntries = 1000 };
        BinaryAddress code = binary.LoadSegments.First(static segment => segment.IsExecutable).Address;
        few.AddBranch(code, code, 1000);
        await Parallel.ForAsync(
            0, Services - 1, async (i, _) => await UploadAsync($"service-{i:0000}", few, $"host-{i % 300:000}", now.AddHours(-i % 90)));
    }

    /// <summary>Every function's loops and calls, the first ones most often.</summary>
    private static BranchProfile Walk(ElfFile binary, string path)
    {
        BranchProfile profile = new(binary.BuildId, path) { Samples = 1 };
        X64Decoder decoder = new();
        ulong number = 0;
        foreach (ElfSymbol symbol in binary.Symbols.Symbols)
        {
            if (!symbol.IsFunction || symbol.Size == 0 || !binary.IsCode(new(symbol.Address.Value)))
                continue;
            ulong count = 1_000_000 / ++number + 20, start = symbol.Address.Value;
            ReadOnlySpan<byte> code = binary.Code(symbol.Address).Span[..(int)symbol.Size];
            for (int at = 0; at < code.Length;)
            {
                BinaryAddress address = new(start + (ulong)at);
                if (!decoder.TryDecode(code[at..], address, out Instruction instruction))
                    break;
                if (instruction.Kind == InstructionKind.ConditionalBranch && instruction.Target >= start
                    && instruction.Target < address.Value)
                {
                    profile.AddTrace(address, new(instruction.Target), address, count * 10);
                    profile.BranchEntries += count * 10;
                }
                else if (instruction.Kind == InstructionKind.Call && instruction.Target != 0)
                {
                    profile.AddTrace(address, new(instruction.Target), BinaryAddress.External, count);
                    profile.BranchEntries += count;
                }
                at += instruction.Length;
            }
        }
        return profile;
    }

    private async Task UploadAsync(string service, BranchProfile profile, string host, DateTimeOffset end)
    {
        BranchProfileSet set = new() { Start = end.AddMinutes(-1), End = end, TotalSamples = profile.Samples };
        set.Labels[ProfileLabels.Service] = service;
        set.Labels[ProfileLabels.Host] = host;
        set.Add(profile);
        await server.Api.UploadProfileAsync(set, CancellationToken.None);
    }

    private async Task MeasureFleetAsync(IBrowser browser)
    {
        List<double> answered = [];
        for (int round = 0; round < Rounds; round++)
        {
            long begin = Stopwatch.GetTimestamp();
            byte[] overview = await server.Http.GetByteArrayAsync(ApiRoutes.Overview);
            answered.Add(Stopwatch.GetElapsedTime(begin).TotalMilliseconds);
            if (round == 0)
                Row("2,000 services: bytes of the overview, and its first answer, ms", string.Create(
                    CultureInfo.InvariantCulture, $"{overview.Length:N0}, {answered[0]:0}"));
        }
        Row("the overview's answer, ms", Spread(answered));
        List<double> painted = [], rows = [], longest = [], script = [];
        for (int round = 0; round < Rounds; round++)
        {
            await using IBrowserContext context = await browser.NewContextAsync();
            IPage page = await OpenAsync(context, "");
            await page.Locator("tbody tr").First.WaitForAsync();
            await page.WaitForTimeoutAsync(300);
            rows.Add(await page.EvaluateAsync<double>("window.firstRow"));
            painted.Add(await page.EvaluateAsync<double>("performance.getEntriesByName('first-contentful-paint')[0].startTime"));
            script.Add(await page.EvaluateAsync<double>(
                "performance.getEntriesByType('resource').filter(r => r.name.endsWith('.js')).reduce((sum, r) => sum + r.encodedBodySize, 0)"));
            longest.Add(await LongestAsync(page));
        }
        Row("first content painted, ms", Spread(painted));
        Row("first rows of the table there, ms", Spread(rows));
        Row("longest task of the browser meanwhile, ms (0: below 50)", Spread(longest));
        Row("bytes of script as sent", script[0].ToString("N0", CultureInfo.InvariantCulture));
    }

    private async Task MeasureProfileAsync(IBrowser browser)
    {
        string hash = (await server.Api.GetPgoAsync(Large, new PgoRequest(), CancellationToken.None)).Profile;
        FunctionPage functions = await server.Api.ListFunctionsAsync(Large, hash, null, 1, CancellationToken.None);
        ProfileTree tree = await server.Api.GetTreeAsync(Large, hash, null, CancellationToken.None);
        Console.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture, $"{functions.TotalFunctions:N0} functions, {tree.Nodes.Count:N0} nodes of the flame graph"));
        (string What, Func<IPage, Task> Do)[] steps =
        [
            ("opened", page => page.Locator("canvas.flame").WaitForAsync()),
            ("searched", page => page.GetByLabel("Search names").PressSequentiallyAsync("f12")),
            ("sorted", page => page.GetByLabel("Sort by").SelectOptionAsync("head")),
            ("flame graph zoomed", page => page.Locator("canvas.flame").ClickAsync(new() { Position = new() { X = 60, Y = 5 } })),
            ("flame graph searched", page => page.GetByLabel("Find in the graph").PressSequentiallyAsync("f1")),
            ("a function opened", page =>
                page.GetByRole(AriaRole.Region, new() { Name = "Functions" }).Locator("tbody tr a").First.ClickAsync()),
        ];
        List<double>[] longest = [.. steps.Select(static _ => new List<double>())];
        for (int round = 0; round < Rounds; round++)
        {
            await using IBrowserContext context = await browser.NewContextAsync();
            IPage page = await OpenAsync(context, $"#/profile/{Large}/{hash}");
            for (int i = 0; i < steps.Length; i++)
            {
                await steps[i].Do(page);
                await page.WaitForTimeoutAsync(500);
                longest[i].Add(await LongestAsync(page));
            }
        }
        for (int i = 0; i < steps.Length; i++)
            Row($"longest task of the browser, profile {steps[i].What}, ms", Spread(longest[i]));
    }

    private async Task<IPage> OpenAsync(IBrowserContext context, string view)
    {
        IPage page = await context.NewPageAsync();
        await page.AddInitScriptAsync(Watch);
        await page.GotoAsync(server.Address + view);
        return page;
    }

    private static async Task<double> LongestAsync(IPage page) =>
        await page.EvaluateAsync<double>("Math.max(0, ...window.longTasks.splice(0))");

    private static string Spread(List<double> figures)
    {
        double[] sorted = [.. figures.Order()];
        return string.Create(CultureInfo.InvariantCulture, $"{sorted[sorted.Length / 2]:0} ({sorted[0]:0} to {sorted[^1]:0})");
    }

    private static void Row(string what, string figure) => Console.WriteLine($"| {what} | {figure} |");
}
