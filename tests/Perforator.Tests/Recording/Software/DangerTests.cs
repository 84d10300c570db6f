using Perforator.Recording;
using Perforator.Recording.Software;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Recording.Software;

/// <summary>
/// Programs that a careless recorder would hang, mislead or end: testdata/recording/dangers.c, under the densest recording there is.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class DangerTests : IClassFixture<DangerTests.Binary>
{
    private readonly Binary binary;

    public DangerTests(Binary binary) => this.binary = binary;

    /// <summary>The compiled program, shared by all tests.</summary>
    public sealed class Binary : IDisposable
    {
        private readonly TemporaryFolder folder = new();

        public Binary()
        {
            string source = System.IO.Path.Combine(Tool.RepositoryRoot(), "testdata", "recording", "dangers.c");
            Tool.Run("clang-19", ["-O1", "-pthread", "-o", Path, source]).Succeeded();
            File.Copy(Path, Copy);
        }

        public string Path => folder["dangers"];

        /// <summary>The same program in another file.</summary>
        public string Copy => folder["copy"];

        public void Dispose() => folder.Dispose();
    }

    /// <summary>
    /// A page that another thread provides is not waited for while that one may wait for the thread that stands still, nor asked for when
    /// it was announced only.
    /// </summary>
    [Fact]
    public void Pages_that_the_program_provides_itself_are_not_waited_for()
    {
        using Target target = new(binary.Path, "faults");
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 300 && r.Losses[Sampler.Unreadable] >= 20);

        Assert.True(recorded.Losses[Sampler.Unreadable] >= 20, string.Join(", ", recorded.Losses.ByReason));
        Assert.True(recorded.Samples >= 300, $"{recorded.Samples} samples");
        Assert.Equal("ok\n", target.Finish());
    }

    /// <summary>
    /// Reserved and unmasked bits of MXCSR and the x87 control word, divisions by 0, undefined and privileged instructions, addresses that
    /// are none: signals of the program's own.
    /// </summary>
    [Fact]
    public void What_raises_signals_in_the_target_raises_them_there_alone()
    {
        using Target target = new(binary.Path, "traps");
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 1000);

        Assert.True(recorded.Samples >= 1000, $"{recorded.Samples} samples");
        Assert.Equal("ok\n", target.Finish());
    }

    [Fact]
    public void Code_that_is_patched_in_place_goes_on_as_it_is()
    {
        using Target target = new(binary.Path, "patches");
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 300);

        Assert.True(recorded.Samples >= 300, $"{recorded.Samples} samples");
        Assert.Equal("ok\n", target.Finish());
    }

    /// <summary>Each of the two programs that have one process id in turns is recorded under its own file.</summary>
    [SkippableFact]
    public void A_process_id_that_is_given_out_again_is_another_process()
    {
        RequireRoot("choosing process ids");
        using Target target = new(binary.Path, "recycles", binary.Path, binary.Copy);
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => AreBoth(r) && r.Samples >= 300);

        Assert.True(AreBoth(recorded), string.Join(", ", recorded.Files));
        Assert.Equal(0, recorded.UnknownAddresses);
        Assert.Equal("ok\n", target.Finish());

        bool AreBoth(RecordedBranches r) => r.Files.Any(f => f.Path == binary.Copy && r.Files.Contains(f with { Path = binary.Path }));
    }

    /// <summary>
    /// A clock that is read through a time namespace ends a path; a copy of what it is read from would be waited for for ever.
    /// </summary>
    [SkippableFact]
    public void A_clock_of_another_time_namespace_is_not_waited_for()
    {
        RequireRoot("a time namespace");
        using Target target = new(binary.Path, "elsewhere");
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 300 && r.Losses[Sampler.Unreadable] > 0);

        Assert.True(recorded.Samples >= 300, $"{recorded.Samples} samples");
        Assert.True(recorded.Losses[Sampler.Unreadable] > 0, string.Join(", ", recorded.Losses.ByReason));
        Assert.Equal("ok\n", target.Finish());
    }

    [SkippableFact]
    public void A_set_uid_program_has_its_privileges_while_it_is_recorded()
    {
        RequireRoot("set-uid programs");
        string folder = Directory.CreateDirectory($"/tmp/perforator-test-{Environment.ProcessId}").FullName;
        try
        {
            string plain = Path.Combine(folder, "plain"), elevated = Path.Combine(folder, "elevated");
            File.Copy(binary.Path, plain);
            File.Copy(binary.Path, elevated);
            Tool.Run("chmod", ["755", folder, plain]).Succeeded();
            Tool.Run("chmod", ["4755", elevated]).Succeeded();
            string[] asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups", plain, "elevates", elevated];
            Skip.If(Tool.Run(
                "/usr/bin/setpriv", [.. asNobody[..^2], "elevates-once", elevated]).ExitCode != 0, "/tmp has no set-uid programs");
            using Target target = new("/usr/bin/setpriv", asNobody);
            RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 300 && IsElevated(r));

            Assert.True(IsElevated(recorded), string.Join(", ", recorded.Files));
            Assert.Equal("ok\n", target.Finish());

            bool IsElevated(RecordedBranches r) => r.Files.Any(f => f.Path == elevated);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Of_a_thousand_processes_the_one_that_runs_is_recorded()
    {
        using Target target = new(binary.Path, "crowd");
        RecordedBranches recorded = RecordedBranches.Record(target.Id, r => r.Samples >= 1000);

        Assert.True(recorded.Samples >= 1000, $"{recorded.Samples} samples");
        Assert.Equal("ok\n", target.Finish());
    }

    private static void RequireRoot(string what) => Skip.If(Syscalls.geteuid() != 0, $"{what} takes root");
}
