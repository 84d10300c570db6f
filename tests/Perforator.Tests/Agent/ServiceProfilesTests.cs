using Perforator.Agent;
using Perforator.Agent.Services;
using Perforator.Branches;
using Perforator.Elf;
using Perforator.Recording.Processes;
using Perforator.Tests.Recording;

namespace Perforator.Tests.Agent;

/// <summary>What has just executed another program is looked at once it gives a sample, and what ends before that costs nothing.</summary>
public class ServiceProfilesTests(TargetProgram program) : IClassFixture<TargetProgram>
{
    private sealed class Resolver : IModuleResolver
    {
        public List<int> Asked { get; } = [];

        public Module? Resolve(Mapping mapping)
        {
            Asked.Add(mapping.ProcessId);
            return new Module(
                BuildId.Parse("aa01"), mapping.Path, [new LoadSegment(new(0x1000), new(0), 0x10000, 0x10000, IsExecutable: true)]);
        }
    }

    private static void Sample(ServiceProfiles profiles, int processId)
    {
        BranchEntry[] stack = [new(new(0x7000_0010), new(0x7000_0020)), new(new(0x7000_0030), new(0x7000_0008))];
        profiles.OnSample(new BranchSample { ProcessId = processId, ThreadId = processId, Stack = stack });
    }

    private static Mapping Code(int processId) => new(processId, new(0x7000_0000), 0x10000, new(0), "/opt/program");

    [Fact]
    public void A_program_is_looked_at_with_its_first_sample_and_then_has_all_that_it_mapped()
    {
        using RunningTarget target = program.Start();
        Resolver modules = new();
        ServiceProfiles profiles = new(new ServiceDiscovery([ServiceRule.Parse($"target={program.Path}")]), modules);
        profiles.OnExec(target.Id);
        profiles.OnMapping(Code(target.Id));
        // It forks before it has given any, and its child does likewise.
        profiles.OnFork(2_000_009, target.Id);
        profiles.OnExit(2_000_009);
        Assert.Empty(modules.Asked);
        Assert.Empty(profiles.Take());

        Sample(profiles, target.Id);
        Sample(profiles, target.Id);
        Assert.Equal([target.Id], modules.Asked);
        (string service, BranchAggregator counted) = Assert.Single(profiles.Take());
        Assert.Equal(("target", 2UL), (service, counted.Samples));
        Assert.Equal(0UL, counted.Losses.Total);
        BranchProfile profile = Assert.Single(counted.Profiles.Values);
        Assert.NotEqual(0UL, profile.BranchEntries);
        target.EndAndCheck();
    }

    [Fact]
    public void Samples_of_what_ended_before_it_was_looked_at_are_told_as_lost()
    {
        using RunningTarget target = program.Start(), other = program.Start();
        Resolver modules = new();
        ServiceProfiles profiles = new(new ServiceDiscovery([ServiceRule.Parse($"target={program.Path}")]), modules);
        profiles.OnExec(target.Id);
        profiles.OnMapping(Code(target.Id));
        target.EndAndCheck();
        Sample(profiles, target.Id);
        Sample(profiles, target.Id);
        profiles.OnExit(target.Id);
        Sample(profiles, target.Id);
        Assert.Empty(modules.Asked);

        profiles.OnExec(other.Id);
        profiles.OnMapping(Code(other.Id));
        Sample(profiles, other.Id);
        (_, BranchAggregator counted) = Assert.Single(profiles.Take());
        Assert.Equal((1UL, 2UL), (counted.Samples, counted.Losses[ServiceProfiles.EndedUnknown]));
        other.EndAndCheck();
    }

    [Fact]
    public void A_program_that_no_rule_names_is_not_recorded()
    {
        using RunningTarget target = program.Start();
        Resolver modules = new();
        ServiceProfiles profiles = new(new ServiceDiscovery([ServiceRule.Parse("another")]), modules);
        profiles.OnExec(target.Id);
        for (int i = 0; i < 5000; i++)
            profiles.OnMapping(Code(target.Id));
        Sample(profiles, target.Id);
        Assert.Empty(modules.Asked);
        Assert.Empty(profiles.Take());
        target.EndAndCheck();
    }

    [Fact]
    public void The_processes_of_proc_are_listed_with_what_tells_them_from_later_ones()
    {
        using RunningTarget target = program.Start();
        IReadOnlyList<(int Id, ulong Inode)> all = ProcessIdentity.All();
        Assert.Equal(all.Count, all.Select(static process => process.Id).Distinct().Count());
        Assert.Contains((Environment.ProcessId, ProcessIdentity.InodeOf(Environment.ProcessId)), all);
        Assert.Contains((target.Id, ProcessIdentity.InodeOf(target.Id)), all);
        Assert.NotEqual(0UL, ProcessIdentity.InodeOf(target.Id));
        target.EndAndCheck();
        Assert.Equal(0UL, ProcessIdentity.InodeOf(target.Id));
        Assert.DoesNotContain(target.Id, ProcessIdentity.AllIds());
        Assert.Null(ProcessIdentity.Of(target.Id));
    }
}
