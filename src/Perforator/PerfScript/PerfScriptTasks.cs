using System.Text;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// Which processes and threads a text speaks of: <c>PERF_RECORD_COMM: name:pid/tid</c>, <c>PERF_RECORD_COMM exec: name:pid/tid</c> and
/// <c>PERF_RECORD_FORK(pid:tid):(parent pid:parent tid)</c>. A number in a column is a process or thread if one of these lines, or a
/// mapping, named it.
/// </summary>
internal sealed class PerfScriptTasks(IBranchSink sink)
{
    private readonly Dictionary<int, int> processByThread = [];

    private static ReadOnlySpan<byte> Comm => "PERF_RECORD_COMM"u8;

    private static ReadOnlySpan<byte> Fork => "PERF_RECORD_FORK("u8;

    /// <summary>Whether a record, which the text begins with, is one of these.</summary>
    public static bool IsTask(ReadOnlySpan<byte> record) => record.StartsWith(Comm) || record.StartsWith(Fork);

    /// <summary>The process that a number is, or is a thread of.</summary>
    public bool TryProcessOf(ulong number, out int process)
    {
        process = 0;
        return number is > 0 and <= int.MaxValue && processByThread.TryGetValue((int)number, out process);
    }

    /// <summary>A process has mappings.</summary>
    public void Know(int process) => processByThread[process] = process;

    /// <summary>Reads a record. What is not understood says nothing.</summary>
    public void Read(ReadOnlySpan<byte> record)
    {
        record = record.TrimEnd("\r "u8);
        if (record.StartsWith(Fork))
        {
            string[] numbers =
                Encoding.ASCII.GetString(record[Fork.Length..]).Split(['(', ')', ':'], StringSplitOptions.RemoveEmptyEntries);
            if (numbers is not [var child, var childThread, var parent, _] || !TryId(child, out int process)
                || !TryId(childThread, out int thread)
                || !TryId(parent, out int parentProcess))
                return;
            processByThread[thread] = process;
            sink.OnFork(process, parentProcess);
            return;
        }
        int colon = record.LastIndexOf((byte)':'), slash = record.LastIndexOf((byte)'/');
        if (colon < 0 || slash < colon || !PerfScriptTokens.TryDecimal(record[(colon + 1)..slash], out ulong pid)
            || !PerfScriptTokens.TryDecimal(record[(slash + 1)..], out ulong tid)
            || pid is 0 or > int.MaxValue || tid is 0 or > int.MaxValue)
            return;
        processByThread[(int)tid] = (int)pid;
        if (record[Comm.Length..].StartsWith(" exec:"u8))
            sink.OnExec((int)pid);
    }

    private static bool TryId(string text, out int id) => int.TryParse(text, out id) && id > 0;
}
