using System.Runtime.InteropServices;
using Perforator.Recording;
using Perforator.Recording.Interpreter;

namespace Perforator.Tests.Recording.Interpreter;

/// <summary>The interpreter's copy of memory against a plain model of it, on pages of this very process.</summary>
public sealed unsafe class MemorySnapshotTests : IDisposable
{
    private const int PageCount = 8, Unreadable = 5, Size = PageCount * MemorySnapshot.PageSize;

    private const int ReadWrite = 3, PrivateAnonymous = 0x22, Fixed = 0x10;

    private readonly byte* memory = (byte*)Syscalls.Mmap(0, Size, ReadWrite, PrivateAnonymous, -1, 0);
    private readonly byte* state = CpuState.Allocate();
    private readonly MemorySnapshot snapshot;

    public MemorySnapshotTests()
    {
        new Random(1).NextBytes(new Span<byte>(memory, Size));
        nint hole = (nint)memory + (Unreadable * MemorySnapshot.PageSize);
        Assert.Equal(hole, Syscalls.Mmap(hole, MemorySnapshot.PageSize, 0, PrivateAnonymous | Fixed, -1, 0));
        snapshot = new MemorySnapshot(state, keepsOriginals: true);
    }

    public void Dispose()
    {
        snapshot.Dispose();
        CpuState.Free(state);
        _ = Syscalls.Munmap((nint)memory, Size);
    }

    [Fact]
    public void Whatever_was_announced_or_read_ahead_what_was_written_is_read_and_the_rest_is_as_it_was()
    {
        Random random = new(2);
        byte[] buffer = new byte[64], expected = new byte[Size], original = new byte[Size], before = new byte[Size];
        for (int page = 0; page < PageCount; page++)
            if (page != Unreadable)
                new Span<byte>(memory + (page * MemorySnapshot.PageSize), MemorySnapshot.PageSize).CopyTo(original.AsSpan(page * MemorySnapshot.PageSize));
        for (int round = 0; round < 300; round++)
        {
            original.CopyTo(expected, 0);
            original.CopyTo(before, 0);
            HashSet<int> written = [];
            snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
            if (random.Next(3) == 0)
                snapshot.ReadAhead([.. Enumerable.Range(0, PageCount).Where(_ => random.Next(4) == 0).Select(page => ((ulong)memory >> MemorySnapshot.PageShift) + (ulong)page)]);
            for (int step = 0; step < 200; step++)
            {
                if (step == 40 && round % 2 == 1)
                {
                    snapshot.Mark();
                    written.Clear();
                    expected.CopyTo(before, 0);
                }
                int length = random.Next(1, 65), at = random.Next(Size - length);
                ulong address = (ulong)(memory + at);
                bool canBeRead = (at + length - 1) / MemorySnapshot.PageSize < Unreadable || at / MemorySnapshot.PageSize > Unreadable;
                Span<byte> bytes = buffer.AsSpan(0, length);
                switch (random.Next(4))
                {
                    case 0:
                        snapshot.Expect(address);
                        break;
                    case 1 when canBeRead:
                        random.NextBytes(bytes);
                        snapshot.Write(address, (ReadOnlySpan<byte>)bytes);
                        bytes.CopyTo(expected.AsSpan(at));
                        written.UnionWith(Enumerable.Range(at, length).Select(i => i / MemorySnapshot.GranuleSize));
                        break;
                    case 2 when canBeRead && at % MemorySnapshot.PageSize <= MemorySnapshot.PageSize - sizeof(ulong):
                        Assert.Equal(MemoryMarshal.Read<ulong>(expected.AsSpan(at)), snapshot.Read<ulong>(address));
                        break;
                    case 3 when canBeRead:
                        snapshot.Read(address, bytes);
                        Assert.Equal(expected.AsSpan(at, length), bytes);
                        break;
                    default:
                        if (!canBeRead)
                            Assert.Throws<UnreadableMemoryException>(() => snapshot.Read((ulong)memory + (Unreadable * MemorySnapshot.PageSize), new byte[1]));
                        break;
                }
            }
            Assert.Equal(written.Order(), snapshot.WrittenGranules().Select(g => (int)(g.Address - (ulong)memory) / MemorySnapshot.GranuleSize).Order());
            foreach (WrittenGranule granule in snapshot.WrittenGranules())
            {
                int at = (int)(granule.Address - (ulong)memory);
                Assert.Equal(before.AsSpan(at, MemorySnapshot.GranuleSize), MemoryMarshal.AsBytes(granule.Before));
                Assert.Equal(expected.AsSpan(at, MemorySnapshot.GranuleSize), MemoryMarshal.AsBytes(granule.After));
            }
        }
    }

    [Fact]
    public void What_was_written_before_a_mark_stays_when_the_rest_of_its_page_is_read()
    {
        snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
        ulong page = (ulong)memory + MemorySnapshot.PageSize;
        snapshot.Expect(page);
        _ = snapshot.Read<byte>((ulong)memory);
        byte other = (byte)(memory[MemorySnapshot.PageSize] + 1);
        snapshot.Write(page, other);
        snapshot.Mark();
        _ = snapshot.Read<byte>(page + MemorySnapshot.GranuleSize);
        Assert.Equal(other, snapshot.Read<byte>(page));
    }

    [Fact]
    public void What_is_announced_is_read_with_the_next_page_and_only_in_part()
    {
        snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
        snapshot.Expect((ulong)memory + MemorySnapshot.PageSize);
        byte first = memory[MemorySnapshot.PageSize], behind = memory[MemorySnapshot.PageSize + MemorySnapshot.GranuleSize];
        _ = snapshot.Read<byte>((ulong)memory);
        memory[MemorySnapshot.PageSize]++;
        memory[MemorySnapshot.PageSize + MemorySnapshot.GranuleSize]++;
        Assert.Equal(first, snapshot.Read<byte>((ulong)memory + MemorySnapshot.PageSize));
        Assert.Equal((byte)(behind + 1), snapshot.Read<byte>((ulong)memory + MemorySnapshot.PageSize + MemorySnapshot.GranuleSize));
    }
}
