using System.Globalization;
using Perforator.Branches;
using Perforator.Bytes;
using Perforator.Elf;

namespace Perforator.Recording.PerfEvents;

/// <summary>
/// What is mapped for the kernel: its image and its modules, under the names that perf has for them. No perf event tells of them; they are
/// in /proc/kallsyms and /proc/modules, with addresses for those who may see them, and their build ids in /sys.
/// </summary>
internal sealed class KernelMappings(IKernel kernel)
{
    /// <summary>The addresses are hidden.</summary>
    public const string Hidden =
        "the kernel's addresses are hidden, so its branches are not counted (root, or CAP_SYSLOG with kernel.kptr_restrict at 1 or below, sees them)";

    private string? modules;
    private bool hasImage;

    /// <summary>What keeps the kernel's own branches from being counted; null when nothing does.</summary>
    public string? Notice => modules is null || hasImage ? null : Hidden;

    /// <summary>All mappings in the order of their addresses, if they have changed since the last call; else none.</summary>
    public IReadOnlyList<Mapping> TakeChanged()
    {
        string now = kernel.ReadText("/proc/modules") ?? "";
        if (now == modules)
            return [];
        List<Mapping> found = [];
        // The image stays where it is.
        if (modules is null && Image() is { } image)
            found.Add(image);
        hasImage |= found.Count > 0;
        modules = now;
        foreach (string line in now.Split('\n'))
            if (Module(line) is { } module)
                found.Add(module);
        // Since Linux 6.4 a module's code has memory of its own, and its size counts data elsewhere: the next one cuts what is too much.
        found.Sort(static (a, b) => a.Start.Value.CompareTo(b.Start.Value));
        return found;
    }

    /// <summary>
    /// Where the kernel that runs was linked to have <c>_text</c>: KASLR's offset stands in the notes of /proc/kcore. Without, x86-64's
    /// default (CONFIG_PHYSICAL_START), which distributions keep; null elsewhere.
    /// </summary>
    /// <param name="text">Where it lies.</param>
    public static BinaryAddress? LinkedText(IKernel kernel, RuntimeAddress text, bool isX64)
    {
        const int NotesReach = 1 << 16;
        const ulong Default = 0xffff_ffff_8100_0000;
        ReadOnlySpan<byte> core = kernel.ReadBytes("/proc/kcore", NotesReach);
        ReadOnlySpan<byte> name = "KERNELOFFSET="u8;
        int at = core.IndexOf(name);
        if (at < 0)
            return isX64 ? new(Default) : null;
        ReadOnlySpan<byte> digits = core[(at + name.Length)..];
        int length = 0;
        while (length < digits.Length && char.IsAsciiHexDigit((char)digits[length]))
            length++;
        return ulong.TryParse(digits[..length], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong offset)
            ? new(unchecked(text.Value - offset)) : null;
    }

    private Mapping? Image()
    {
        ulong start = 0, end = 0;
        foreach (ReadOnlySpan<char> line in (kernel.ReadText("/proc/kallsyms") ?? "").AsSpan().EnumerateLines())
        {
            if (line.EndsWith(" _text", StringComparison.Ordinal))
                start = Address(line);
            else if (line.EndsWith(" _etext", StringComparison.Ordinal))
                end = Address(line);
            if (start != 0 && end != 0)
                break;
        }
        return end <= start || start == 0 ? null
            : new Mapping(Mapping.KernelProcess, new(start), end - start, new(start), "[kernel.kallsyms]_text", Noted("/sys/kernel/notes"));

        static ulong Address(ReadOnlySpan<char> line) =>
            ulong.TryParse(
                line[..Math.Max(0, line.IndexOf(' '))], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong value)
                ? value : 0;
    }

    /// <summary>One module: <c>nf_tables 331776 123 - Live 0xffffffffc0a00000</c>.</summary>
    private Mapping? Module(string line)
    {
        string[] words = line.Split(' ');
        if (words.Length < 6 || !ulong.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out ulong size)
            || !words[5].StartsWith("0x", StringComparison.Ordinal)
            || !ulong.TryParse(words[5].AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong start)
            || start == 0 || size > ulong.MaxValue - start)
            return null;
        return new Mapping(
            Mapping.KernelProcess, new(start), size, new(0), $"[{words[0]}]", Noted($"/sys/module/{words[0]}/notes/.note.gnu.build-id"));
    }

    private BuildId Noted(string path)
    {
        const int MaxNotes = 1 << 16;
        try
        {
            return ElfNote.FindBuildId(kernel.ReadBytes(path, MaxNotes), 4, path);
        }
        catch (MalformedInputException)
        {
            return default;
        }
    }
}
