using Perforator.PerfData;
using static Perforator.PerfData.PerfRecordType;
using static Perforator.PerfData.PerfSampleType;

namespace Perforator.Tests.PerfData;

public class PerfRecordDecodingTests
{
    private const ulong WrongPath = 1UL << 24, NonSpeculative = 2UL << 24, Speculative = 3UL << 24;

    private static readonly PerfEventAttributes Branches = new()
    {
        SampleType = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_BRANCH_STACK,
        BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY,
        Flags = PerfAttributeFlags.SampleIdAll,
    };

    private readonly SinkLog log = new();

    private PerfRecordReader Read(PerfEventAttributes attributes, params byte[][] records)
    {
        PerfRecordReader reader = new(log);
        PerfRecordLayout layout = new(attributes);
        foreach (byte[] record in records)
            reader.Read(record, layout);
        return reader;
    }

    private static RecordBytes Sample(PerfRecordMisc misc = PerfRecordMisc.PERF_RECORD_MISC_USER) => new(PERF_RECORD_SAMPLE, misc);

    [Fact]
    public void A_branch_stack_is_read_newest_first_with_its_flags()
    {
        Read(Branches, Sample().U64(0x1040).U32(7, 8).U64(99, 3, 0x1030, 0x1010, 1, 0x1020, 0x1000, 2 | WrongPath, 0x1018, 0x1008, 4 | 8)
            .ToArray());
        Assert.Equal(
            ["sample 7/8 @99 0x1040 0x1030>0x1010[Mispredicted] 0x1020>0x1000[Predicted, SpeculativeWrongPath] 0x1018>0x1008[InTransaction, Abort]"],
            log.Lines);
    }

    /// <summary>
    /// AMD Zen 4 (LbrExtV2) tells of every entry whether it was speculated; create_llvm_prof then drops all of them
    /// (autofdo issue 256). Only the wrong path did not happen.
    /// </summary>
    [Fact]
    public void Amd_LbrExtV2_entries_on_the_correct_path_count_however_they_were_speculated()
    {
        Read(Branches, Sample().U64(0x1040).U32(7, 7)
            .U64(1, 4, 0x40, 0x10, 2 | Speculative, 0x30, 0x20, 2 | NonSpeculative, 0x28, 0x24, 1 | WrongPath, 0, 0, 0).ToArray());
        Assert.Equal(
            ["sample 7/7 @1 0x1040 0x40>0x10[Predicted] 0x30>0x20[Predicted] 0x28>0x24[Mispredicted, SpeculativeWrongPath]"], log.Lines);
    }

    /// <summary>Arm BRBE: an exception return whose source the filter hides has no source, but its target begins a true range.</summary>
    [Fact]
    public void Entries_with_only_one_address_stay_and_entries_left_empty_do_not()
    {
        Read(Branches, Sample().U64(0x1040).U32(7, 7).U64(1, 4, 0x40, 0x10, 0, 0, 0x20, 0, 0x1c, 0, 0, 0, 0, 0).ToArray());
        Assert.Equal(["sample 7/7 @1 0x1040 0x40>0x10 0x0>0x20 0x1c>0x0"], log.Lines);
        Assert.Equal(0UL, log.Losses.Total);
    }

    /// <summary>All fields at once, with hardware index and branch counters: a wrong size of any shifts the branch stack.</summary>
    [Fact]
    public void Every_field_of_a_sample_is_stepped_over()
    {
        PerfEventAttributes all = new()
        {
            SampleType = (PerfSampleType)((1UL << 25) - 1) & ~PERF_SAMPLE_WEIGHT,
            ReadFormat = (PerfReadFormat)31,
            BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY | PerfBranchSampleType.PERF_SAMPLE_BRANCH_HW_INDEX
                | PerfBranchSampleType.PERF_SAMPLE_BRANCH_COUNTERS,
            SampleRegistersUser = 0b101,
            SampleRegistersInterrupt = 0b1,
        };
        RecordBytes record = Sample()
            .U64(77, 0x1040).U32(7, 8).U64(99, 0xadd, 77, 1).U32(3, 0)
            .U64(1000) // identifier, ip, tid, time, addr, id, stream_id, cpu, period
            .U64(2, 5, 5).U64(1, 77, 0, 2, 78, 0) // read: group of 2 with both times, id and lost
            .U64(2, 0x1040, 0x1000) // callchain
            .U32(12, 1, 2, 3) // raw
            .U64(1, 5, 0x30, 0x10, 2, 0xc0) // branch stack with hardware index and counters
            .U64(2, 1, 2) // user registers
            .U64(16, 1, 2, 16) // user stack with its dynamic size
            .U64(9, 10, 11) // weight, data source, transaction
            .U64(2, 1) // interrupted registers
            .U64(12, 13, 14, 15) // physical address, cgroup, page sizes
            .U64(8, 1); // AUX data
        Read(all, record.ToArray());
        Assert.Equal(["sample 7/8 @99 0x1040 0x30>0x10[Predicted]"], log.Lines);

        // The fields end exactly where the record does: one word less and it is refused.
        byte[] whole = record.ToArray();
        Read(all, whole[..^8]);
        Assert.Equal(1UL, log.Losses[PerfRecordReader.MalformedRecord]);
        Assert.Equal(77UL, new PerfRecordLayout(all).EventId(whole, PERF_RECORD_SAMPLE));
        Assert.Equal(99UL, new PerfRecordLayout(all).Time(whole, PERF_RECORD_SAMPLE));
    }

    [Fact]
    public void A_group_read_of_one_counter_has_no_count()
    {
        PerfEventAttributes attributes = new()
        {
            SampleType = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_READ | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_BRANCH_STACK,
            ReadFormat = PerfReadFormat.PERF_FORMAT_ID | PerfReadFormat.PERF_FORMAT_TOTAL_TIME_ENABLED,
            BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY,
            SampleRegistersUser = 0xff,
        };
        Read(attributes, Sample().U64(0x1040).U32(7, 7).U64(1, 2, 3).U64(1, 0x30, 0x10, 0).U64(0).ToArray());
        Assert.Equal(["sample 7/7 @0 0x1040 0x30>0x10"], log.Lines);
    }

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(0xaaaaaaaaaaaaaabUL)] // times 24 overflows to 8
    [InlineData(2UL)]
    public void A_gigantic_branch_count_is_a_counted_drop(ulong count)
    {
        Read(Branches, Sample().U64(0x1040).U32(7, 7).U64(1, count, 0x30, 0x10, 0).ToArray());
        Assert.Empty(log.Lines);
        Assert.Equal(1UL, log.Losses[PerfRecordReader.MalformedRecord]);
    }

    [Fact]
    public void Stacks_that_a_filter_thinned_out_and_guests_samples_are_dropped_and_counted()
    {
        PerfEventAttributes callStack = new()
        {
            SampleType = Branches.SampleType,
            BranchSampleType = PerfBranchSampleType.PERF_SAMPLE_BRANCH_ANY | PerfBranchSampleType.PERF_SAMPLE_BRANCH_CALL_STACK,
        };
        byte[] sample = Sample().U64(0x1040).U32(7, 7).U64(1, 1, 0x30, 0x10, 0).ToArray();
        Read(callStack, sample);
        Read(Branches, Sample(PerfRecordMisc.PERF_RECORD_MISC_GUEST_USER).U64(0x1040).U32(7, 7).U64(1, 1, 0x30, 0x10, 0).ToArray());
        Read(Branches, Sample().U64(0x1040).U32(7, 7).U64(1, 0).ToArray());
        Read(Branches, Sample(PerfRecordMisc.PERF_RECORD_MISC_GUEST_KERNEL).U64(0x1040).U32(7, 7).U64(1, 1, 0x30, 0x10, 0).ToArray());
        foreach (PerfRecordMisc guest in new[] { PerfRecordMisc.PERF_RECORD_MISC_GUEST_USER, PerfRecordMisc.PERF_RECORD_MISC_GUEST_KERNEL })
            Read(Branches, new RecordBytes(PerfRecordType.PERF_RECORD_MMAP2, guest).U32(7, 7).U64(0x1000, 0x1000, 0).U64(0, 0, 0).U32(5, 2)
                .Path("/bin/a").ToArray());
        Assert.Empty(log.Lines);
        Assert.Equal(1UL, log.Losses[PerfRecordReader.FilteredBranchStack]);
        Assert.Equal(2UL, log.Losses[PerfRecordReader.GuestSample]);
        Assert.Equal(2UL, log.Losses[PerfRecordReader.GuestMapping]);
        Assert.Equal(1UL, log.Losses[PerfRecordReader.EmptyBranchStack]);
    }

    [Fact]
    public void Exact_and_skidding_addresses_are_told_apart()
    {
        PerfEventAttributes addresses = new() { SampleType = PERF_SAMPLE_IP | PERF_SAMPLE_TID };
        PerfRecordReader reader = Read(addresses,
            Sample().U64(0x1040).U32(7, 7).ToArray(),
            Sample(PerfRecordMisc.PERF_RECORD_MISC_USER | PerfRecordMisc.PERF_RECORD_MISC_EXACT_IP).U64(0x1044).U32(7, 7).ToArray());
        Assert.Equal((2UL, 1UL, 0UL), (reader.AddressSamples, reader.ExactAddressSamples, reader.BranchSamples));
    }

    [Fact]
    public void Mappings_come_with_inode_build_id_or_the_headers_build_id()
    {
        ulong[] trailer = [(ulong)7 << 32 | 7, 50];
        byte[] withBuildId = new RecordBytes(PERF_RECORD_MMAP2, PerfRecordMisc.PERF_RECORD_MISC_MMAP_BUILD_ID)
            .U32(7, 7).U64(0x20000, 0x1000, 0x3000).Bytes(4, 0, 0, 0).Bytes(0xde, 0xad, 0xbe, 0xef).U64(0, 0).U32(5, 2).Path("/bin/b")
            .U64(trailer).ToArray();
        byte[] data = RecordBytes.Mmap2(7, 0x10000, 0x1000, 0, "/bin/a", trailer, protection: 1);
        byte[] mmap =
            new RecordBytes(PERF_RECORD_MMAP, PerfRecordMisc.PERF_RECORD_MISC_USER).U32(7, 7).U64(0x30000, 0x1000, 0)
                .Path("/bin/c (deleted)").U64(trailer).ToArray();
        PerfRecordReader reader = new(log) { BuildIds = new Dictionary<string, BuildId> { ["/bin/a"] = BuildId.Parse("aa") } };
        foreach (byte[] record in new[] { RecordBytes.Mmap2(7, 0x10000, 0x1000, 0, "/bin/a", trailer), withBuildId, data, mmap })
            reader.Read(record, new PerfRecordLayout(Branches));
        Assert.Equal(
            [
                "map 7 0x10000-0x11000 +0x0 /bin/a aa", "map 7 0x20000-0x21000 +0x3000 /bin/b deadbeef", "map 7 0x10000-0x11000 +0x0",
                "map 7 0x30000-0x31000 +0x0 /bin/c (deleted)",
            ], log.Lines);
    }

    [Fact]
    public void Mappings_that_wrap_or_are_cut_short_are_dropped_and_counted()
    {
        byte[] whole = RecordBytes.Mmap2(7, 0x10000, 0x1000, 0, "/bin/a");
        PerfEventAttributes plain = new() { SampleType = PERF_SAMPLE_IP };
        Read(plain, RecordBytes.Mmap2(7, ulong.MaxValue - 0xfff, 0x2000, 0, "/bin/a"), whole[..40], whole[..8]);
        Assert.Empty(log.Lines);
        Assert.Equal(1UL, log.Losses[PerfRecordReader.WrappingMapping]);
        Assert.Equal(2UL, log.Losses[PerfRecordReader.MalformedRecord]);
    }

    [Fact]
    public void A_process_ends_with_its_last_thread()
    {
        ulong[] trailer = [0, 50];
        Read(Branches,
            RecordBytes.Task(PERF_RECORD_FORK, 9, 7, 9, trailer: trailer),
            RecordBytes.Task(PERF_RECORD_FORK, 9, 9, 10, trailer: trailer),
            RecordBytes.Task(PERF_RECORD_EXIT, 9, 9, 9, trailer: trailer),
            new RecordBytes(PERF_RECORD_COMM).U32(9, 10).Path("renamed").U64(trailer).ToArray(),
            RecordBytes.Task(PERF_RECORD_EXIT, 9, 9, 10, trailer: trailer),
            new RecordBytes(PERF_RECORD_COMM, PerfRecordMisc.PERF_RECORD_MISC_COMM_EXEC).U32(7, 7).Path("new").U64(trailer).ToArray(),
            RecordBytes.Task(PERF_RECORD_EXIT, 7, 1, 7, trailer: trailer));
        Assert.Equal(["fork 9 of 7", "exit 9", "exec 7", "exit 7"], log.Lines);
    }

    [Fact]
    public void Losses_of_the_kernel_are_counted_and_unknown_records_are_skipped_by_type()
    {
        ulong[] trailer = [0, 50];
        PerfRecordReader reader = Read(Branches,
            new RecordBytes(PERF_RECORD_LOST).U64(1, 5).U64(trailer).ToArray(),
            new RecordBytes(PERF_RECORD_LOST_SAMPLES).U64(3).U64(trailer).ToArray(),
            new RecordBytes(PERF_RECORD_THROTTLE).U64(1, 2, 3).U64(trailer).ToArray(),
            new RecordBytes(PERF_RECORD_KSYMBOL).U64(1).ToArray(),
            new RecordBytes((PerfRecordType)4711).ToArray(),
            new RecordBytes((PerfRecordType)40).U64(1).ToArray());
        Assert.Equal(5UL, log.Losses[PerfRecordReader.RingFull]);
        Assert.Equal(3UL, log.Losses[PerfRecordReader.SampleLost]);
        Assert.Equal(2UL, log.Losses[PerfRecordReader.UnknownRecord]);
        Assert.Equal(1UL, log.Losses[PerfRecordReader.Throttled]);
        Assert.Equal([new(17, 1), new(40, 1), new(4711, 1)], reader.SkippedByType);
    }
}
