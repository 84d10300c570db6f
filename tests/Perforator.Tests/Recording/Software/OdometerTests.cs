using System.Diagnostics;
using System.Runtime.InteropServices;
using Perforator.Recording.Interpreter;
using Perforator.Recording.Software;

namespace Perforator.Tests.Recording.Software;

/// <summary>
/// Counters in memory tell how quick a thread is. The process watched is this one: its "thread" keeps words at what a clock says, so its speed is known.
/// </summary>
public sealed unsafe class OdometerTests : IDisposable
{
    private const int Words = MemorySnapshot.PageSize / sizeof(int);

    private readonly int* page = (int*)NativeMemory.AlignedAlloc(MemorySnapshot.PageSize, MemorySnapshot.PageSize);
    private readonly byte* state = CpuState.Allocate();
    private readonly MemorySnapshot memory;

    public OdometerTests()
    {
        new Span<int>(page, Words).Clear();
        memory = new MemorySnapshot(state, keepsOriginals: true);
        memory.Begin(Environment.ProcessId, SharedKernelPages.None);
    }

    public void Dispose()
    {
        memory.Dispose();
        CpuState.Free(state);
        NativeMemory.AlignedFree(page);
    }

    [Fact]
    public void Steady_words_tell_the_speed_whatever_the_others_do()
    {
        // 100 branches an iteration, of which there are 20 on the path, and then one each microsecond.
        Interpret(iteration =>
        {
            Write(0, iteration);
            Write(100, -4096 * iteration);
            // Overflows on the way.
            Write(200, int.MaxValue - 5 + iteration);
            Write(300, iteration * 7 % 10);
            Write(400, iteration > 15 ? 1000 : 0);
        });
        // The machine may take the CPU from one of the two threads, and for long: one undisturbed time is enough.
        Assert.True(Watch(TimeSpan.FromSeconds(20), reading => reading is { Speed: >= 90 and <= 110, Variance: >= 0 and < 0.01 }, microseconds =>
        {
            page[0] = microseconds;
            page[100] = -4096 * microseconds;
            page[200] = int.MaxValue - 5 + microseconds;
            page[300] = microseconds * 7919 % 10;
            page[400] = microseconds % 3 * 1000;
        }));
    }

    [Fact]
    public void Words_that_counted_more_on_the_path_say_more()
    {
        // Five words that counted thrice are outweighed by one that counted twenty times, and so are those whose changes are no counts.
        Interpret(iteration =>
        {
            for (int word = 0; word < 5; word++)
                Write(word, iteration / 6);
            Write(100, iteration);
            Write(200, 1000 * iteration);
            Write(201, 1000 * iteration);
        });
        Assert.True(Watch(TimeSpan.FromSeconds(20), reading => reading is { Speed: >= 90 and <= 110, Variance: > 0.1 and < 0.2 }, microseconds =>
        {
            for (int word = 0; word < 5; word++)
                page[word] = microseconds / 3;
            page[100] = microseconds;
            page[200] = page[201] = 10 * microseconds;
        }));
    }

    [Fact]
    public void No_cpu_is_quicker_than_twenty_instructions_a_nanosecond()
    {
        // 100 branches a microsecond of 300 instructions each.
        Interpret(iteration => Write(0, iteration));
        Assert.False(Watch(TimeSpan.FromMilliseconds(20), reading => reading is { Speed: > 70 }, microseconds => page[0] = microseconds, instructionsPerBranch: 300));
    }

    [Fact]
    public void A_thread_that_stands_still_has_no_speed()
    {
        Interpret(iteration => Write(0, iteration));
        Assert.False(Watch(TimeSpan.FromMilliseconds(20), reading => reading is not null, _ => { }));
    }

    [Fact]
    public void Words_that_start_anew_all_the_time_have_no_speed()
    {
        Interpret(iteration => Write(0, iteration));
        // Every reading finds it lower than the last.
        Assert.False(Watch(TimeSpan.FromMilliseconds(20), reading => reading is not null, microseconds => page[0] = -microseconds));
    }

    [Fact]
    public void Memory_that_is_gone_has_no_speed()
    {
        Odometer odometer = new();
        Interpret(iteration => Write(0, iteration));
        Assert.True(odometer.Begin(memory, 2000, 5));
        // There is no such process.
        while (!odometer.Read(int.MaxValue))
            Thread.Sleep(1);
        Assert.Null(odometer.Speed());
    }

    [Fact]
    public void A_path_must_be_long_enough_and_a_word_change_on_it()
    {
        Odometer odometer = new();
        Interpret(_ => { });
        Assert.False(odometer.Begin(memory, 2000, 5));
        Interpret(iteration => Write(0, iteration / 10));
        Assert.False(odometer.Begin(memory, 2000, 5));
        Interpret(iteration => Write(0, iteration));
        Assert.False(odometer.Begin(memory, 100, 5));
        Assert.True(odometer.Begin(memory, 2000, 5));
    }

    [Fact]
    public void Written_pages_are_known_as_they_were_and_as_they_are()
    {
        page[1] = 7;
        Assert.Equal(7, memory.Read<int>((ulong)(page + 1)));
        Assert.Empty(memory.WrittenGranules());
        memory.Write((ulong)page, 1);
        memory.Write((ulong)page, 2);
        WrittenGranule written = Assert.Single(memory.WrittenGranules());
        Assert.Equal(((ulong)page, 0, 2, 7, 7), (written.Address, written.Before[0], written.After[0], written.Before[1], written.After[1]));
        Assert.Equal(0, page[0]);
        memory.Mark();
        Assert.Empty(memory.WrittenGranules());
        Assert.Equal(2, memory.Read<int>((ulong)page));
        memory.Write((ulong)page, 3);
        written = Assert.Single(memory.WrittenGranules());
        Assert.Equal((2, 3), (written.Before[0], written.After[0]));
        memory.Begin(Environment.ProcessId, SharedKernelPages.None);
        Assert.Empty(memory.WrittenGranules());
    }

    [Fact]
    public void A_page_that_nothing_was_written_to_is_blank()
    {
        Assert.True(memory.IsBlank((ulong)page + 8));
        memory.Begin(Environment.ProcessId, SharedKernelPages.None);
        page[Words - 1] = 1;
        Assert.False(memory.IsBlank((ulong)page));
        // Nothing is mapped there: an instruction without memory operand has an address near 0.
        Assert.False(memory.IsBlank(0));
        Assert.False(memory.IsBlank(0x10));
        Assert.False(memory.IsBlank(1UL << 46));
    }

    private void Write(int word, int value) => memory.Write((ulong)(page + word), value);

    /// <summary>Goes a path of twenty iterations.</summary>
    private void Interpret(Action<int> iterate)
    {
        memory.Begin(Environment.ProcessId, SharedKernelPages.None);
        page[200] = int.MaxValue - 5;
        for (int i = 1; i <= 20; i++)
            iterate(i);
    }

    /// <param name="limit">How long to try.</param>
    /// <param name="isWanted">Ends it before.</param>
    /// <param name="run">Sets the words as they are after so many microseconds.</param>
    /// <returns>Whether a wanted speed was seen.</returns>
    private bool Watch(TimeSpan limit, Predicate<OdometerReading?> isWanted, Action<int> run, double instructionsPerBranch = 5)
    {
        using CancellationTokenSource end = new();
        using ManualResetEventSlim runs = new();
        Thread thread = new(() =>
        {
            long begin = Stopwatch.GetTimestamp();
            while (!end.IsCancellationRequested)
            {
                run((int)Stopwatch.GetElapsedTime(begin).TotalMicroseconds);
                runs.Set();
            }
        });
        thread.Start();
        runs.Wait();
        bool seen = false;
        Odometer odometer = new();
        for (long begin = Stopwatch.GetTimestamp(); !seen && Stopwatch.GetElapsedTime(begin) < limit; seen = isWanted(odometer.Speed()))
        {
            Assert.True(odometer.Begin(memory, 2000, instructionsPerBranch));
            while (!odometer.Read(Environment.ProcessId))
                Thread.Yield();
        }
        end.Cancel();
        thread.Join();
        return seen;
    }
}
