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
        snapshot = new MemorySnapshot(state);
    }

    public void Dispose()
    {
        snapshot.Dispose();
        CpuState.Free(state);
        _ = Syscalls.Munmap((nint)memory, Size);
    }

    [Fact]
    public void Whatever_was_announced_what_was_written_is_read_and_the_rest_is_as_it_was()
    {
        Random random = new(2);
        byte[] buffer = new byte[64], expected = new byte[Size], original = new byte[Size];
        for (int page = 0; page < PageCount; page++)
            if (page != Unreadable)
                new Span<byte>(memory + (page * MemorySnapshot.PageSize), MemorySnapshot.PageSize).CopyTo(
                    original.AsSpan(page * MemorySnapshot.PageSize));
        for (int round = 0; round < 300; round++)
        {
            original.CopyTo(expected, 0);
            bool written = false;
            snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
            for (int step = 0; step < 200; step++)
            {
                if (step == 40 && round % 2 == 1)
                {
                    snapshot.Mark();
                    written = false;
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
                        written = true;
                        break;
                    case 2 when canBeRead && at % MemorySnapshot.PageSize <= MemorySnapshot.PageSize - sizeof(ulong):
                        Assert.Equal(MemoryMarshal.Read<ulong>(expected.AsSpan(at)), snapshot.Read(address, sizeof(ulong)));
                        break;
                    case 3 when canBeRead:
                        snapshot.Read(address, bytes);
                        Assert.Equal(expected.AsSpan(at, length), bytes);
                        break;
                    default:
                        if (!canBeRead)
                            Assert.Throws<UnreadableMemoryException>(
                                () => snapshot.Read((ulong)memory + (Unreadable * MemorySnapshot.PageSize), new byte[1]));
                        break;
                }
            }
            Assert.Equal(written, snapshot.HasWritten);
        }
    }

    [Fact]
    public void What_is_announced_is_read_with_the_next_page_and_is_no_miss()
    {
        snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
        ulong first = (ulong)memory, announced = first + MemorySnapshot.PageSize;
        snapshot.Expect(announced);
        byte before = memory[MemorySnapshot.PageSize];
        _ = snapshot.Read(first, 1);
        memory[MemorySnapshot.PageSize]++;
        Assert.Equal(before, snapshot.Read(announced, 1));
        Assert.Equal(1, snapshot.Misses);
        Assert.True(snapshot.WasAnnounced(announced >> MemorySnapshot.PageShift));
        Assert.False(snapshot.WasAnnounced(first >> MemorySnapshot.PageShift));
        Assert.Equal(2, snapshot.PageNumbers.Count);
    }

    [Fact]
    public void A_path_that_touches_more_pages_than_there_is_room_for_ends()
    {
        const int Pages = 1100;
        byte* many = (byte*)Syscalls.Mmap(0, Pages * MemorySnapshot.PageSize, ReadWrite, PrivateAnonymous, -1, 0);
        new Span<byte>(many, Pages * MemorySnapshot.PageSize).Fill(1);
        snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
        Assert.Throws<UnreadableMemoryException>(() =>
        {
            for (int page = 0; page < Pages; page++)
                snapshot.Write((ulong)(many + (page * MemorySnapshot.PageSize)), 1, sizeof(int));
        });
        Assert.Equal(1024, snapshot.PageNumbers.Count);
        _ = Syscalls.Munmap((nint)many, Pages * MemorySnapshot.PageSize);
    }

    /// <summary>To ask for it would be to wait for whoever provides it.</summary>
    [Fact]
    public void A_page_that_is_not_in_memory_is_not_read_even_when_it_was_announced()
    {
        byte* two = (byte*)Syscalls.Mmap(0, 2 * MemorySnapshot.PageSize, ReadWrite, PrivateAnonymous, -1, 0);
        two[0] = 5;
        ulong absent = (ulong)two + MemorySnapshot.PageSize;
        snapshot.Begin(Environment.ProcessId, SharedKernelPages.None);
        snapshot.Expect(absent);
        Assert.Equal(5UL, snapshot.Read((ulong)two, 1));
        Assert.Throws<UnreadableMemoryException>(() => snapshot.Read(absent, 1));
        Assert.False(PageTable.Has(Environment.ProcessId, absent >> MemorySnapshot.PageShift));
        two[MemorySnapshot.PageSize] = 6;
        Assert.Equal(6UL, snapshot.Read(absent, 1));
        _ = Syscalls.Munmap((nint)two, 2 * MemorySnapshot.PageSize);
    }
}
