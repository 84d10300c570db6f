using System.Diagnostics;
using Perforator.Agent;
using Perforator.Agent.Services;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Recording.Processes;
using Perforator.Tests.Infrastructure;
using Perforator.Tests.Recording;

namespace Perforator.Tests.Agent;

public class ServiceDiscoveryTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    private static readonly ProcessDescription Nginx = new(
        new(100, 5), "/usr/sbin/nginx", "nginx: worker p", "/system.slice/web.service", null);

    [Theory]
    [InlineData("nginx", true)]
    [InlineData("web=nginx", true)]
    [InlineData("web=ngin?", true)]
    [InlineData("web=nginx: worker*", true)]
    [InlineData("web=/usr/sbin/nginx", true)]
    [InlineData("web=/usr/*/nginx", true)]
    [InlineData("web=/usr/sbin", false)]
    [InlineData("web=unit:web", true)]
    [InlineData("web=unit:web.service", true)]
    [InlineData("web=unit:we", false)]
    [InlineData("web=cgroup:/system.slice", true)]
    [InlineData("web=cgroup:/system", false)]
    [InlineData("web=pid:100", true)]
    [InlineData("web=pid:10", false)]
    [InlineData("web=apache", false)]
    public void A_rule_matches_by_executable_name_unit_cgroup_or_id(string rule, bool matches) =>
        Assert.Equal(matches, ServiceRule.Parse(rule).Matches(Nginx));

    [Theory]
    [InlineData("=nginx")]
    [InlineData("a b")]
    [InlineData("../etc=nginx")]
    [InlineData("web=")]
    [InlineData("web=pid:x")]
    public void A_rule_that_makes_no_sense_is_refused(string rule) => Assert.Throws<UserErrorException>(() => ServiceRule.Parse(rule));

    [Fact]
    public void Without_a_rule_a_service_is_named_by_declaration_then_unit_then_executable()
    {
        Assert.Equal("web", ServiceRules.DefaultName(Nginx));
        Assert.Equal("nginx", ServiceRules.DefaultName(Nginx with { Cgroup = "/user.slice/user-0.slice/user@0.service/session-1.scope" }));
        Assert.Equal("check_out", ServiceRules.DefaultName(Nginx with { DeclaredService = "check out" }));
        Assert.Equal("etc_passwd", ServiceRules.DefaultName(Nginx with { DeclaredService = "../etc/passwd" }));
        Assert.Equal("unnamed", ServiceRules.DefaultName(Nginx with { DeclaredService = "ü" }));
    }

    [Fact]
    public void Processes_come_and_go()
    {
        ServiceDiscovery discovery = new([ServiceRule.Parse($"target={program.Path}")]);
        Assert.Empty(discovery.Refresh()!);
        using RunningTarget first = program.Start();
        Assert.Equal("target", discovery.LookAgain(first.Id));
        using RunningTarget second = program.Start();
        Await(discovery, first.Id, second.Id);
        Assert.Equal(2, discovery.Running["target"]);
        first.EndAndCheck();
        Await(discovery, second.Id);
        Assert.Null(discovery.ServiceOf(first.Id));
        Assert.Null(discovery.LookAgain(first.Id));
        second.EndAndCheck();
    }

    /// <summary>What was found is taken for true for some seconds on a busy machine.</summary>
    private static void Await(ServiceDiscovery discovery, params int[] processIds)
    {
        for (int i = 0; i < 300 && !discovery.Refresh()!.SetEquals(processIds); i++)
            Thread.Sleep(100);
        Assert.Equal(processIds.Order(), discovery.Refresh()!.Order());
    }

    [Fact]
    public void A_process_that_declares_its_service_is_found_without_rules()
    {
        ProcessStartInfo start = new(program.Path) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment[ProcessDescription.ServiceVariable] = "checkout";
        using RunningTarget target = new(Process.Start(start)!);
        ServiceDiscovery discovery = new([]);
        Assert.Contains(target.Id, discovery.Refresh()!);
        Assert.DoesNotContain(Environment.ProcessId, discovery.Refresh()!);
        Assert.Equal("checkout", discovery.ServiceOf(target.Id));
        target.EndAndCheck();
    }

    [Fact]
    public void A_deleted_binary_is_still_identified_and_readable()
    {
        using TemporaryFolder folder = new();
        byte[] contents = File.ReadAllBytes(program.Path);
        File.Copy(program.Path, folder["program"]);
        using RunningTarget target = program.Start(folder["program"]);
        File.Delete(folder["program"]);
        File.WriteAllText(folder["program"], "something else has taken its place");

        using LiveModules modules = new();
        ProcessMap map = Assert.Single(ProcessMap.Load(target.Id), m => m.IsExecutable && m.Path == folder["program"] + " (deleted)");
        Module module = Assert.IsType<Module>(modules.Resolve(map.ToMapping(target.Id)));
        Assert.Equal(folder["program"], module.Path);
        using (ElfFile elf = ElfFile.Load(program.Path))
            Assert.Equal(elf.BuildId, module.BuildId);
        target.EndAndCheck();
        Assert.True(modules.TryGetFile(module.BuildId, out string? path));
        Assert.Equal(contents, File.ReadAllBytes(path));
        modules.Release(module.BuildId);
        Assert.False(modules.TryGetFile(module.BuildId, out _));
    }

    [SkippableFact]
    public void A_binary_of_another_mount_namespace_is_found()
    {
        Tool.Require("unshare");
        using TemporaryFolder folder = new();
        string mountPoint = Directory.CreateDirectory(folder["hidden"]).FullName;
        string script = $"mount -t tmpfs tmpfs {mountPoint} && cp {program.Path} {mountPoint}/program && exec {mountPoint}/program";
        Skip.If(Tool.Run("unshare", ["-m", "true"]).ExitCode != 0, "mount namespaces take CAP_SYS_ADMIN");
        using RunningTarget target = new(Process.Start(new ProcessStartInfo("unshare", ["-m", "sh", "-c", script])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!);
        Assert.Empty(Directory.GetFiles(mountPoint));

        using LiveModules modules = new();
        ProcessMap map =
            Assert.Single(ProcessMap.Load(target.Id), m => m.IsExecutable && m.Path.EndsWith("/program", StringComparison.Ordinal));
        Module module = Assert.IsType<Module>(modules.Resolve(map.ToMapping(target.Id)));
        using ElfFile elf = ElfFile.Load(program.Path);
        Assert.Equal(elf.BuildId, module.BuildId);
        target.EndAndCheck();
    }

    [Fact]
    public void Mappings_without_a_usable_file_are_left_out_with_the_reason()
    {
        using TemporaryFolder folder = new();
        using LiveModules modules = new();
        Assert.Null(modules.Resolve(new Mapping(Environment.ProcessId, new(0x1000), 0x1000, new(0), "[vdso]")));
        Assert.Empty(modules.Unreadable);
        string text = folder.Write("text", "no program");
        Assert.Null(modules.Resolve(new Mapping(Environment.ProcessId, new(0x1000), 0x1000, new(0), text)));
        Assert.Null(modules.Resolve(new Mapping(Environment.ProcessId, new(0x1000), 0x1000, new(0), folder["gone"])));
        string damaged = folder.Write("damaged", "\u007fELF and nothing more");
        Assert.Null(modules.Resolve(new Mapping(Environment.ProcessId, new(0x1000), 0x1000, new(0), damaged)));
        Assert.Equal([damaged, folder["gone"]], modules.Unreadable.Keys);
    }
}
