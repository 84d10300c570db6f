using System.Net;
using System.Net.Http.Json;
using Microsoft.Playwright;
using Perforator.Api;
using Perforator.Branches;
using Perforator.Tests.EndToEnd;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Server;
using static Microsoft.Playwright.Assertions;

namespace Perforator.Tests.WebPage;

/// <summary>The page on servers that have nothing, that want a token, and that were sent names made to harm.</summary>
public sealed class HostilePageTests(PageFixture fixture) : IClassFixture<PageFixture>, IDisposable
{
    private const string Markup = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";

    private readonly TemporaryFolder folder = new();

    [SkippableFact]
    public async Task Names_from_uploads_are_text_however_they_are_written()
    {
        Tool.Require("chromium");
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        string huge = "h" + new string('x', 10_000), directions = "abc\u202edlrow\u2066 \u0007bell";
        foreach ((string host, int minute) in ((string, int)[])[(Markup, 0), (directions, 1), (huge, 2)])
        {
            BranchProfileSet set = Now(Uploads.Set("target", host: host), minute);
            set.Labels["cpu"] = host;
            set.Labels["note"] = host;
            await server.UploadAsync(set);
        }
        BranchProfileSet paths = Now(Uploads.Set("target", buildId: "bb02"), 4);
        BranchProfile profile = new(BuildId.Parse("cc03"), "/opt/" + Markup) { Samples = 5, BranchEntries = 5 };
        profile.AddBranch(new(0x1040), new(0x1010), 5);
        paths.Add(profile);
        await server.UploadAsync(paths);

        PlanRequest says = new(Markup, []) { Agent = new(Markup, directions, 2, 0.01, -1, 0, 1, 0, 0, 5, 1, huge) };
        using (HttpResponseMessage taken = await server.Http.PostAsJsonAsync("api/v1/plan", says, ApiJson.Default.PlanRequest))
            Assert.Equal(HttpStatusCode.OK, taken.StatusCode);

        foreach (string view in (string[])
            ["", "#/service/target", "#/agents", "#/history/target", "#/compare/target", "#/profile/target", "#/service/"
                + Uri.EscapeDataString(Markup)])
            foreach (int width in (int[])[1280, 360])
            {
                await using OpenPage open = await fixture.OpenAsync(server.Address + view, width: width);
                await open.LoadedAsync();
                Assert.NotEqual("taken", await open.Page.TitleAsync());
                await Expect(open.Page.Locator("main img, main script")).ToHaveCountAsync(0);
                await open.FitsAsync();
                if (view == "#/agents")
                {
                    await Expect(open.Main).ToContainTextAsync(Markup);
                    await Expect(open.Main).ToContainTextAsync("abc\\u202edlrow\\u2066 \ufffdbell");
                    await Expect(open.Main).ToContainTextAsync("… (1000 characters)");
                    await PageFixture.PictureAsync(open.Page, $"hostile-{width}");
                }
            }
        Assert.Equal(0, server.Terminate());
    }

    [SkippableFact]
    public async Task A_server_without_profiles_says_which_two_commands_to_give_and_unknown_services_are_told()
    {
        Tool.Require("chromium");
        using ServerProcess server = ServerProcess.Start(folder["server"]);
        await using (OpenPage open = await fixture.OpenAsync(server.Address.ToString()))
        {
            await open.LoadedAsync();
            await Expect(open.Main).ToContainTextAsync($"perforator agent --server {server.Address}");
            await Expect(open.Main).ToContainTextAsync("perforator pgo SERVICE");
            await open.AccessibleAsync();
        }
        await using (OpenPage open = await fixture.OpenAsync(server.Address + "#/agents"))
            await Expect(open.Main).ToContainTextAsync($"perforator agent --server {server.Address}");
        await using (OpenPage open = await fixture.OpenAsync(server.Address + "#/service/nobody"))
        {
            await Expect(open.Page.GetByRole(AriaRole.Alert)).ToContainTextAsync("nobody");
            await Expect(open.Page.GetByRole(AriaRole.Alert).GetByRole(AriaRole.Link, new() { Name = "all services" })).ToBeVisibleAsync();
            await open.AccessibleAsync();
            server.Kill();
            await open.Page.GetByRole(AriaRole.Button, new() { Name = "Try again" }).ClickAsync();
            await Expect(open.Page.GetByRole(AriaRole.Alert)).ToContainTextAsync("The server does not answer.");
        }
    }

    [SkippableFact]
    public async Task A_server_that_wants_a_token_is_given_it_for_this_tab_alone()
    {
        Tool.Require("chromium");
        const string Token = "a-token-of-thirty-two-characters-x";
        using ServerProcess server = ServerProcess.Start(folder["server"], 0, "--auth", folder.Write("access.yaml", $"""
            tokens:
            - name: reader
              sha256: {ServerAccessTests.HashOf(Token)}
              roles: [read]
            """));
        await using OpenPage open = await fixture.OpenAsync(server.Address.ToString());
        await Expect(open.Page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
        await open.AccessibleAsync();
        await open.Page.GetByLabel("Token, kept for this tab alone").FillAsync(Token);
        await open.Page.Keyboard.PressAsync("Enter");
        await Expect(open.Main).ToContainTextAsync("No service has sent a profile yet.");
        await open.Page.ReloadAsync();
        await Expect(open.Main).ToContainTextAsync("No service has sent a profile yet.");
        await using OpenPage other = await open.AgainAsync(fixture);
        await Expect(other.Page.GetByRole(AriaRole.Alert)).ToBeVisibleAsync();
    }

    /// <summary>What is older than a month is shown of no host.</summary>
    private static BranchProfileSet Now(BranchProfileSet set, int minute)
    {
        set.Start = DateTimeOffset.UtcNow.AddMinutes(minute - 10);
        set.End = set.Start.AddMinutes(1);
        return set;
    }

    public void Dispose() => folder.Dispose();
}
