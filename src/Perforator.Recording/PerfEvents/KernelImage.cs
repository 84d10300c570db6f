using System.Globalization;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Recording.PerfEvents;

/// <summary>Where the running kernel's own code lies, without its modules.</summary>
internal static class KernelImage
{
    /// <summary>Why the kernel's branches cannot be attributed.</summary>
    public const string Hidden = "the kernel hides where its code lies, so that its branches do not count: sudo sysctl kernel.kptr_restrict=0, or record with CAP_SYSLOG";

    /// <summary>
    /// The kernel's mapping as perf record writes it: from _text to _etext of /proc/kallsyms, with the symbol that tells by how much it was
    /// moved (KASLR), and the build id of /sys/kernel/notes. Null when the kernel hides its addresses.
    /// </summary>
    public static Mapping? Load(IKernel kernel)
    {
        ulong text = 0, end = 0;
        foreach (ReadOnlySpan<char> line in (kernel.ReadText("/proc/kallsyms") ?? "").AsSpan().EnumerateLines())
        {
            // Address, type letter and name.
            if (line.EndsWith(" _text"))
                text = Address(line);
            else if (line.EndsWith(" _etext"))
                end = Address(line);
            if (text != 0 && end != 0)
                break;
        }
        return text == 0 || end <= text
            ? null
            : new Mapping(Mapping.KernelProcess, new(text), end - text, new(text), "[kernel.kallsyms]_text", ReadBuildId(kernel));
    }

    private static ulong Address(ReadOnlySpan<char> line) =>
        ulong.TryParse(line[..line.IndexOf(' ')], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong address) ? address : 0;

    private static BuildId ReadBuildId(IKernel kernel)
    {
        const string Notes = "/sys/kernel/notes";
        try
        {
            return kernel.ReadBytes(Notes) is { } notes ? ElfFile.BuildIdOfNotes(notes, Notes) : default;
        }
        catch (MalformedInputException)
        {
            return default;
        }
    }
}
