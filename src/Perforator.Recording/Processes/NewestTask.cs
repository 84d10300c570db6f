using System.Buffers.Text;
using Microsoft.Win32.SafeHandles;

namespace Perforator.Recording.Processes;

/// <summary>
/// Tells cheaply whether any process or thread was created since the last look: by the id the kernel gave out last, the last field of
/// /proc/loadavg (proc_loadavg(5)). Processes in nested PID namespaces count, as they have ids in all the outer ones too.
/// </summary>
internal sealed class NewestTask
{
    /// <summary>Open for good, since opening it costs many times as much as reading it. Without it every look finds a change.</summary>
    private static readonly SafeFileHandle? LoadAverage = Open();

    private long seen = -1;

    /// <summary>Whether <see cref="Look"/> would find a change.</summary>
    public bool HasChanged => Read() is not { } newest || newest != seen;

    /// <summary>To be called before looking at the processes themselves, so that none falls between.</summary>
    public void Look() => seen = Read() ?? -1;

    private static SafeFileHandle? Open()
    {
        try
        {
            return File.OpenHandle("/proc/loadavg");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static long? Read()
    {
        if (LoadAverage is null)
            return null;
        Span<byte> text = stackalloc byte[128];
        try
        {
            text = text[..RandomAccess.Read(LoadAverage, text, 0)].TrimEnd((byte)'\n');
        }
        catch (IOException)
        {
            return null;
        }
        return Utf8Parser.TryParse(text[(text.LastIndexOf((byte)' ') + 1)..], out long newest, out _) ? newest : null;
    }
}
