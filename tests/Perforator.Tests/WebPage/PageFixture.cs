using Deque.AxeCore.Commons;
using Deque.AxeCore.Playwright;
using Microsoft.Playwright;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.WebPage;

/// <summary>Debian's chromium and a server with the demo's store, for all tests of a class.</summary>
public sealed class PageFixture : IAsyncLifetime
{
    private const string Chromium = "chromium";

    /// <summary>Where screenshots are left.</summary>
    private static readonly string Screenshots = Path.Combine(Tool.RepositoryRoot(), "artifacts", "page");

    private readonly Lazy<ServerProcess> demo = new(static () => ServerProcess.StartDemo("--path-prefix", "/perforator"));
    private IPlaywright? playwright;
    private IBrowser? browser;

    /// <summary>The demo's page, below a prefix as behind a proxy.</summary>
    internal string Demo
    {
        get
        {
            Tool.Require(Chromium);
            return $"{demo.Value.Address}perforator/";
        }
    }

    public async Task InitializeAsync()
    {
        if (Tool.Find(Chromium) is not { } path)
            return;
        playwright = await Playwright.CreateAsync();
        // Root's chromium has no sandbox; it sees this server alone.
        browser = await playwright.Chromium.LaunchAsync(
            new() { ExecutablePath = path, Args = ["--no-sandbox", "--disable-dev-shm-usage"] });
        Assertions.SetDefaultExpectTimeout(60_000);
    }

    /// <summary>
    /// A tab of its own, without anything that others left, which fails the test on a script's error or a request to anywhere else.
    /// </summary>
    internal async Task<OpenPage> OpenAsync(string address, ColorScheme scheme = ColorScheme.Light, int width = 1280)
    {
        Tool.Require(Chromium);
        IBrowserContext context =
            await browser!.NewContextAsync(new() { ColorScheme = scheme, ViewportSize = new() { Width = width, Height = 900 } });
        IPage page = await context.NewPageAsync();
        page.SetDefaultTimeout(60_000);
        OpenPage open = new(context, page, new Uri(address));
        await page.GotoAsync(address);
        return open;
    }

    /// <summary>Leaves a picture under artifacts/page.</summary>
    internal static Task PictureAsync(IPage page, string name) =>
        page.ScreenshotAsync(
            new() { Path = Path.Combine(Screenshots, name + ".png"), FullPage = true, Animations = ScreenshotAnimations.Disabled });

    public async Task DisposeAsync()
    {
        if (demo.IsValueCreated)
            demo.Value.Dispose();
        if (browser is not null)
            await browser.DisposeAsync();
        playwright?.Dispose();
    }
}

/// <summary>A tab.</summary>
internal sealed class OpenPage : IAsyncDisposable
{
    private readonly IBrowserContext context;
    private readonly List<string> wrong = [];

    public OpenPage(IBrowserContext context, IPage page, Uri server)
    {
        this.context = context;
        Page = page;
        page.PageError += (_, error) => Add(error);
        page.Console += (_, message) =>
        {
            // That a request failed is logged by the browser; what the page makes of it is what tests look at.
            if (message.Type == "error" && !message.Text.StartsWith("Failed to load resource", StringComparison.Ordinal))
                Add(message.Text);
        };
        page.Request += (_, request) =>
        {
            if (new Uri(request.Url) is { Scheme: "http" or "https" } to && to.Authority != server.Authority)
                Add("a request to " + request.Url);
        };
    }

    public IPage Page { get; }

    public ILocator Main => Page.Locator("main");

    private void Add(string text)
    {
        lock (wrong)
            wrong.Add(text);
    }

    /// <summary>The view is there, whole.</summary>
    public async Task LoadedAsync()
    {
        await Assertions.Expect(Page.GetByText("Loading…")).ToHaveCountAsync(0);
        await Assertions.Expect(Page.Locator("h1")).Not.ToHaveCountAsync(0);
    }

    /// <summary>Nothing that axe-core finds is wrong for who cannot see, or sees little.</summary>
    public async Task AccessibleAsync()
    {
        AxeResult found = await Page.RunAxe();
        Assert.True(found.Violations.Length == 0, string.Join('\n', found.Violations.Select(static rule =>
            $"{rule.Id}: {rule.Help}\n" + string.Join('\n', rule.Nodes.Take(5).Select(static node =>
                $"  {node.Html}: {string.Join("; ", node.Any.Concat(node.All).Select(static check => check.Message))}")))));
    }

    /// <summary>The page is no wider than the window: what is wide scrolls in itself.</summary>
    public async Task FitsAsync()
    {
        int over = await Page.EvaluateAsync<int>("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        string widest = await Page.EvaluateAsync<string>("""
            [...document.querySelectorAll('body *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && getComputedStyle(e).overflowX === 'visible')
              .map(e => `${e.scrollWidth - e.clientWidth}: ${e.outerHTML.slice(0, 300)}`).join('\n')
            """);
        Assert.True(over <= 0, $"{Page.Url} is {over} pixels wider than the window; too wide for their place are:\n{widest}");
    }

    /// <summary>The same address shows the same in a tab that knows nothing.</summary>
    public async Task<OpenPage> AgainAsync(PageFixture fixture) => await fixture.OpenAsync(Page.Url);

    public async ValueTask DisposeAsync()
    {
        await context.DisposeAsync();
        lock (wrong)
            Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }
}
