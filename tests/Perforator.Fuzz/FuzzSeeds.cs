using Perforator.Branches;
using Perforator.SampleProfiles;
using Perforator.Tests.Pprof;

namespace Perforator.Fuzz;

/// <summary>Valid inputs that need no compiler or recording; eng/fuzz adds binaries and perf.data files.</summary>
internal static class FuzzSeeds
{
    private const string PerfScriptText = """
        PERF_RECORD_MMAP2 41/41: [0x400000(0x2000) @ 0x1000 fd:01 12 0]: r-xp /usr/bin/search
                  401020  0x401043/0x401010/P/-/-/3  0x401030/0x401020/M/-/-/1  0x7f0000001000/0x401028/P/-/-/0
        search  41/41  12.345678:  1000  cycles:u:  401100  0x401120/0x4010f0/P/-/-/0 0x4010ff/0x4010f0/P/-/A/7
        PERF_RECORD_MMAP2 41/41: [0x401000(0x1000) @ 0 00:00 0 0]: r-xp //anon
                  401020  0x401043/0x401010/PN/-/-/3/COND/-  0x401030/0x401020/-/-/-/1/IRQ/SPEC_WRONG_PATH  0x0/0x0/-/-/-/0//-
        PERF_RECORD_COMM exec: search:41/41

        """;

    /// <summary>Writes the inputs into one folder a target.</summary>
    /// <param name="testData">The repository's folder of small inputs.</param>
    public static void Write(string folder, string testData)
    {
        Save(folder, "perf-script", "brstack", System.Text.Encoding.UTF8.GetBytes(PerfScriptText));

        Save(folder, "branch-counts", "bolt", "B 1030 1010 5 2\nB X:0 1020 3 0\nF 1010 1030 4\nf 1020 1030 1\nS 1030 7\n"u8);
        Save(folder, "branch-counts", "autofdo", "2\n0x1010-0x1030:4\n1020-1030:1\n1\n1030:7\n2\n1030->1010:5\n0->1020:3\n"u8);

        Save(folder, "branch-counts", "bolt-traces", "E cycles\nT 1030 1010 1020 5\nR 1020 1010 ffffffffffffffff 7\nr 1010 1020 3\nT -1 1010 1020 1\nS 00112233:1030 4\nE x\nS 1040 9\n"u8);
        Save(folder, "branch-counts", "simpleperf", "1\n1010-1030:4\n0\n1\n1030->1010:5\n// build_id: 0x00112233\n// /bin/a\n1\n10-30:4\n0\n0\n// /bin/b\n"u8);
        Save(folder, "perf-script", "tasks", "a 31/9 PERF_RECORD_COMM exec: a:31/9\nPERF_RECORD_FORK(32:32):(31:31)\na 32/32 12.3: 1 cycles:\n\t 401234\n 0x4005c8/0x4005dc/P/-/-/0\n\n9 401234 00112233:0x4005c8/44556677:0x4005dc/P/-/-/0\n"u8);
        foreach (string name in new[] { "branch-counts", "perf-script" })
            foreach (string path in Directory.GetFiles(Path.Combine(folder, name)))
                Save(folder, "input-kind", Path.GetFileName(path), File.ReadAllBytes(path));

        BranchProfileSet set = new();
        set.Labels.Add(ProfileLabels.Service, "search");
        BranchProfile branches = new(BuildId.Parse("0123456789abcdef"), "/usr/bin/search");
        for (ulong i = 0; i < 200; i++)
        {
            branches.AddBranch(new(0x1000 + i * 7), new(0x4000 - i * 3), i + 1, i / 2);
            branches.AddRange(new(0x1000 + i), new(0x1100 + i), i);
            branches.AddTrace(new(0x1000 + i * 5), new(0x3000 - i * 3), new(0x3000 - i), i + 1, i / 3);
            branches.Addresses.Add(new(0x1000 + i), new(0), i);
        }
        set.Add(branches);
        Save(folder, "branch-profile", "set", BranchProfileCodec.Encode(set));
        Save(folder, "branch-profile-message", "set", BranchProfileMessage.Encode(set));

        // Version 2 with two ranges, and version 5 with call sites and hashes.
        Save(folder, "block-map", "ranges", [2, 8, 2, 0, 16, 0, 0, 0, 0, 0, 0, 3, 0, 0, 9, 8, 2, 0, 7, 8, 1, 3, 5, 1, 0, 32, 0, 0, 0, 0, 0, 0, 1, 3, 0, 20, 4]);
        Save(folder, "block-map", "calls", [5, 96, 0, 0, 16, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 4, 5, 9, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 0, 7, 1, 8, 7, 6, 5, 4, 3, 2, 1]);

        PprofBytes pprof = new("lbr", "stacks");
        pprof.Mapping(1, 0x400000, 0x402000, 0x1000, "/usr/bin/search", "00112233");
        for (ulong i = 0; i < 20; i++)
            pprof.Sample(
                3, pprof.Location(1, 0x400010 + i), pprof.Location(1, 0x400100 - i), pprof.Location(1, 0x4000f0),
                pprof.Location(1, 0x400020));
        Save(folder, "pprof", "plain", pprof.ToArray(period: 3));

        foreach (string path in Directory.GetFiles(Path.Combine(testData, "profiles"), "*.txt").Order(StringComparer.Ordinal))
        {
            string name = Path.GetFileNameWithoutExtension(path);
            SampleProfile profile = SampleProfileReader.Load(path);
            profile.Symbols.UnionWith(["main", "unused"]);
            Save(folder, "sample-profile", $"{name}.text", File.ReadAllBytes(path));
            Save(folder, "sample-profile", $"{name}.extbinary", SampleProfileWriter.ToBytes(profile, SampleProfileFormat.ExtBinary));
            Save(folder, "sample-profile", $"{name}.md5", SampleProfileWriter.ToBytes(
                profile, SampleProfileFormat.ExtBinary, new() { Md5Names = true, SplitLayout = true }));
            Save(folder, "sample-profile", $"{name}.compressed", SampleProfileWriter.ToBytes(
                profile, SampleProfileFormat.ExtBinary, new() { CompressAllSections = true }));
            if (!profile.IsProbeBased && !profile.UsesMd5Names)
                foreach (int gcc in new[] { 15, 16 })
                    Save(folder, "sample-profile", $"{name}.gcc-{gcc}", SampleProfileWriter.ToBytes(
                        profile, SampleProfileFormat.Gcc, new() { GccVersion = gcc }));
            if (!profile.IsProbeBased)
                Save(folder, "sample-profile", $"{name}.binary", SampleProfileWriter.ToBytes(profile, SampleProfileFormat.Binary));
        }
    }

    private static void Save(string folder, string target, string name, ReadOnlySpan<byte> content)
    {
        Directory.CreateDirectory(Path.Combine(folder, target));
        File.WriteAllBytes(Path.Combine(folder, target, name), content);
    }
}
