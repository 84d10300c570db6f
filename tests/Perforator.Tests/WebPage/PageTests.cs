using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Perforator.Tests.Infrastructure;
using static Microsoft.Playwright.Assertions;

namespace Perforator.Tests.WebPage;

/// <summary>Each view in Debian's chromium, on a real server with the demo's recorded history.</summary>
public sealed partial class PageTests(PageFixture fixture) : IClassFixture<PageFixture>
{
    private const string Service = "logquery";

    [GeneratedRegex("^[0-9]+ of [0-9]+ functions$")]
    private static partial Regex FunctionCount();

    private async Task<OpenPage> ViewAsync(string view, ColorScheme scheme = ColorScheme.Light, int width = 1280)
    {
        OpenPage open = await fixture.OpenAsync(fixture.Demo + view, scheme, width);
        await open.LoadedAsync();
        return open;
    }

    [SkippableFact]
    public async Task The_fleet_is_counted_filtered_and_sorted_and_each_state_is_a_link()
    {
        await using OpenPage open = await ViewAsync("");
        IPage page = open.Page;
        ILocator rows = page.Locator("tbody tr");
        await Expect(rows).ToHaveCountAsync(5);
        // Worst first.
        await Expect(rows.Nth(0)).ToContainTextAsync("logquery-legacy");
        foreach (string state in (string[])["good", "biased", "thin", "stale", "none"])
            await Expect(page.GetByRole(AriaRole.Link, new() { Name = $"1 {state}", Exact = true })).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Row).Filter(new() { HasText = "logquery-edge" })).ToContainTextAsync("thin");
        await PageFixture.PictureAsync(page, "fleet");

        await page.GetByLabel("Filter by name or reason").FillAsync("BATCH");
        await Expect(rows).ToHaveCountAsync(1);
        await Expect(page.GetByRole(AriaRole.Status)).ToHaveTextAsync("1 of 5 services");
        await using (OpenPage shared = await open.AgainAsync(fixture))
            await Expect(shared.Page.Locator("tbody tr")).ToHaveCountAsync(1);
        await page.GetByLabel("Filter by name or reason").FillAsync("no such");
        await Expect(open.Main).ToContainTextAsync("No service matches. Show all.");
        await page.GetByRole(AriaRole.Link, new() { Name = "Show all" }).ClickAsync();

        // By keyboard alone: from the filter to the header's buttons; the second press turns it round.
        await page.GetByLabel("Filter by name or reason").FocusAsync();
        await page.Keyboard.PressAsync("Tab"); // the table's region, which scrolls
        await page.Keyboard.PressAsync("Tab");
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Service" })).ToBeFocusedAsync();
        await page.Keyboard.PressAsync("Enter");
        await Expect(rows.Nth(0).Locator("a")).ToHaveTextAsync("logquery");
        await page.Keyboard.PressAsync("Enter");
        await Expect(rows.Nth(4).Locator("a")).ToHaveTextAsync("logquery");
        await Expect(page.GetByRole(AriaRole.Columnheader, new() { Name = "Service" })).ToHaveAttributeAsync("aria-sort", "descending");
        await using (OpenPage shared = await open.AgainAsync(fixture))
            await Expect(shared.Page.Locator("tbody tr").Nth(4).Locator("a")).ToHaveTextAsync("logquery");
    }

    [SkippableFact]
    public async Task A_service_is_shown_over_time_with_releases_effects_hosts_files_and_the_command_to_build()
    {
        await using OpenPage open = await ViewAsync($"#/service/{Service}");
        IPage page = open.Page;
        await Expect(page).ToHaveTitleAsync("logquery – service – Perforator");
        await Expect(open.Main).ToContainTextAsync("$(perforator flags logquery)");
        await Expect(page.Locator("canvas")).ToHaveCountAsync(2);
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "Builds" }).Locator("tbody tr")).Not.ToHaveCountAsync(0);
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "Builds" })).ToContainTextAsync("(runs now)");
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "host" }).Locator("tbody tr")).ToHaveCountAsync(3);
        foreach (string part in (string[])["CPU models", "Clusters", "Sources", "Files", "Losses of the latest profile"])
            await Expect(page.GetByRole(AriaRole.Heading, new() { Name = part, Exact = true })).ToBeVisibleAsync();
        // The release that first used a profile shows: more instructions for a taken branch than the build before.
        await Expect(
            page.GetByRole(AriaRole.Region, new() { Name = "Builds" }).Locator("tbody tr").Filter(new() { HasText = "(runs now)" })
                .Filter(new() { HasText = "logquery" }).First)
            .ToContainTextAsync("(+");
        await PageFixture.PictureAsync(page, "service");
    }

    [SkippableFact]
    public async Task A_profiles_functions_are_searched_and_its_flame_graph_is_zoomed_and_a_function_has_its_lines()
    {
        await using OpenPage open = await ViewAsync($"#/profile/{Service}");
        IPage page = open.Page;
        await Expect(page.GetByText(FunctionCount())).ToBeVisibleAsync();
        await Expect(page.Locator("canvas.flame")).ToBeVisibleAsync();
        await PageFixture.PictureAsync(page, "profile");

        await page.GetByLabel("Search names").FillAsync("Table");
        ILocator functions = page.GetByRole(AriaRole.Region, new() { Name = "Functions" }).Locator("tbody tr");
        await Expect(functions.First).ToContainTextAsync("Table");
        await using (OpenPage shared = await open.AgainAsync(fixture))
            await Expect(shared.Page.GetByLabel("Search names")).ToHaveValueAsync("Table");
        await page.GetByLabel("Search names").FillAsync("no such function");
        await Expect(open.Main).ToContainTextAsync("No function has this in its name.");

        // A click on the canvas zooms, and the table beside it tells the same without a mouse.
        await page.Locator("canvas.flame").ClickAsync(new() { Position = new() { X = 60, Y = 5 } });
        await Expect(page.GetByRole(AriaRole.Button, new() { Name = "Zoom out" })).ToBeVisibleAsync();
        await page.GetByText("As a table").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "Nodes" }).Locator("tbody tr")).Not.ToHaveCountAsync(0);
        await using (OpenPage shared = await open.AgainAsync(fixture))
            await Expect(shared.Page.GetByRole(AriaRole.Button, new() { Name = "Zoom out" })).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Show all" }).ClickAsync();

        await page.GetByLabel("Search names").FillAsync("");
        await functions.First.Locator("a").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Lines" })).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Region, new() { Name = "Lines" }).Locator("tbody tr")).Not.ToHaveCountAsync(0);
        foreach (string part in (string[])["Inlined into", "Callers", "Call targets"])
            await Expect(page.GetByRole(AriaRole.Heading, new() { Name = part, Exact = true })).ToBeVisibleAsync();
        await PageFixture.PictureAsync(page, "function");
    }

    [SkippableFact]
    public async Task Two_profiles_are_compared_by_choice_or_by_what_they_are_made_of()
    {
        await using OpenPage open = await ViewAsync($"#/history/{Service}");
        IPage page = open.Page;
        await page.GetByRole(AriaRole.Region, new() { Name = "Generated profiles" })
            .Locator("tbody tr").Last.GetByText("Compare with the latest").ClickAsync();
        await Expect(open.Main).ToContainTextAsync("The two overlap by");
        foreach (string part in (string[])["Became hot", "Became cold", "Inlining gained", "Inlining lost"])
            await Expect(page.GetByRole(AriaRole.Heading, new() { Name = part, Exact = true })).ToBeVisibleAsync();
        await Expect(page.Locator("canvas.flame")).ToBeVisibleAsync();
        await PageFixture.PictureAsync(page, "compare");

        await page.GotoAsync(fixture.Demo + $"#/compare/{Service}");
        await Expect(open.Main).ToContainTextAsync("Choose something on both sides.");
        await page.GetByLabel("Build").First.SelectOptionAsync(new SelectOptionValue { Index = 1 });
        await page.GetByLabel("Selector").Last.FillAsync("{host=\"web-1\"}");
        await page.Keyboard.PressAsync("Enter");
        await page.GetByLabel("Selector").Last.BlurAsync();
        await Expect(open.Main).ToContainTextAsync("The two overlap by");
        await using OpenPage shared = await open.AgainAsync(fixture);
        await Expect(shared.Main).ToContainTextAsync("The two overlap by");
    }

    [SkippableFact]
    public async Task Generated_profiles_have_their_report_and_can_be_saved()
    {
        await using OpenPage open = await ViewAsync($"#/history/{Service}");
        IPage page = open.Page;
        ILocator rows = page.GetByRole(AriaRole.Region, new() { Name = "Generated profiles" }).Locator("tbody tr");
        await Expect(rows).Not.ToHaveCountAsync(0);
        ILocator asked = rows.Filter(new() { HasText = "1 of 2 refused" }).First;
        await Expect(asked).ToContainTextAsync("build-farm");
        await asked.GetByText("1 of 2 refused").ClickAsync();
        await Expect(asked).ToContainTextAsync("perf-lab: the data are of 3 hosts");
        await Expect(rows.Last).ToContainTextAsync("passed");
        await PageFixture.PictureAsync(page, "history");
        await rows.First.GetByText("Report", new() { Exact = true }).ClickAsync();
        await Expect(open.Main.Locator("pre")).ToContainTextAsync("TakenBranchesToExecutableBytesRatio");
        await using (OpenPage shared = await open.AgainAsync(fixture))
            await Expect(shared.Main.Locator("pre")).ToContainTextAsync("TakenBranchesToExecutableBytesRatio");
        IDownload saved = await page.RunAndWaitForDownloadAsync(() => rows.First.GetByRole(AriaRole.Button).ClickAsync());
        Assert.StartsWith("logquery.", saved.SuggestedFilename, StringComparison.Ordinal);
        using TemporaryFolder folder = new();
        await saved.SaveAsAsync(folder["saved.afdo"]);
        Assert.Contains(
            "logquery", Tool.Run("llvm-profdata-19", ["show", "--sample", folder["saved.afdo"]]).Succeeded().Output,
            StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Hosts_that_send_are_listed()
    {
        await using OpenPage open = await ViewAsync("#/");
        await open.Page.GetByRole(AriaRole.Link, new() { Name = "Agents" }).ClickAsync();
        ILocator rows = open.Page.GetByRole(AriaRole.Region, new() { Name = "Agents" }).Locator("tbody tr");
        await Expect(rows.Filter(new() { HasText = "web-1" })).ToContainTextAsync("logquery");
        // Version, what is taken of the budget, what was dropped: as the agent itself says.
        await Expect(rows.Filter(new() { HasText = "canary-1" })).ToContainTextAsync("of 1.00 %");
        await Expect(rows.Filter(new() { HasText = "canary-1" })).ToContainTextAsync("118 MB of 150 MB");
        await Expect(rows.Filter(new() { HasText = "batch-1" })).ToContainTextAsync("not said");
        await PageFixture.PictureAsync(open.Page, "agents");
        await open.Page.GetByRole(AriaRole.Link, new() { Name = "1 dropping" }).ClickAsync();
        await Expect(rows).ToHaveCountAsync(1);
        await Expect(rows).ToContainTextAsync("edge-1");
        await using (OpenPage shared = await open.AgainAsync(fixture))
            await Expect(shared.Page.GetByRole(AriaRole.Region, new() { Name = "Agents" }).Locator("tbody tr")).ToHaveCountAsync(1);
        await open.Page.GetByRole(AriaRole.Link, new() { Name = "dropping" }).Locator("xpath=../../li[1]/a").ClickAsync();
        await open.Page.GetByLabel("Filter by host").FillAsync("web");
        await Expect(rows).ToHaveCountAsync(3);
    }

    public static TheoryData<string> Views() =>
        new("", $"#/service/{Service}", $"#/profile/{Service}", $"#/compare/{Service}", $"#/history/{Service}", "#/agents");

    [SkippableTheory]
    [MemberData(nameof(Views))]
    public async Task Every_view_is_accessible_in_light_and_dark_and_fits_a_phone(string view)
    {
        await using (OpenPage open = await ViewAsync(view))
            await open.AccessibleAsync();
        await using (OpenPage phone = await ViewAsync(view, ColorScheme.Dark, width: 360))
        {
            await phone.AccessibleAsync();
            await phone.FitsAsync();
            await PageFixture.PictureAsync(phone.Page, $"phone-{(view.Length == 0 ? "fleet" : view.Split('/')[1])}");
        }
    }

    /// <summary>
    /// README's picture: <c>PERFORATOR_UPDATE_GOLDEN=1 eng/test --filter FullyQualifiedName~The_picture</c> takes it anew.
    /// </summary>
    [SkippableFact]
    public async Task The_picture_in_README_is_of_this_page()
    {
        await using OpenPage open = await ViewAsync("");
        byte[] picture =
            await open.Page.ScreenshotAsync(
                new() { Animations = ScreenshotAnimations.Disabled, Clip = new() { X = 0, Y = 0, Width = 1280, Height = 430 } });
        string kept = Path.Combine(Tool.RepositoryRoot(), "docs", "fleet.png");
        if (Golden.IsUpdated)
            await File.WriteAllBytesAsync(kept, picture);
        // Fonts differ from machine to machine: of the pixels only the size is held to.
        Assert.Equal(picture[16..24], (await File.ReadAllBytesAsync(kept))[16..24]);
    }
}
