using System.Text;
using System.Text.Unicode;
using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>
/// Turns the UTF-8 names of one input into strings, each distinct name once: a profile repeats its names many times over.
/// </summary>
internal sealed class NamePool
{
    private struct Slot
    {
        public int Hash;
        public int Start;
        public int Length;
        public string? Name;
    }

    private Slot[] slots = new Slot[256];
    private int count;

    /// <summary>The name that lies in <paramref name="data"/>, which must be the same bytes at every call.</summary>
    /// <exception cref="MalformedInputException">The bytes cannot be a name.</exception>
    public string Get(ReadOnlySpan<byte> data, int start, int length)
    {
        ReadOnlySpan<byte> bytes = data.Slice(start, length);
        HashCode hasher = default;
        hasher.AddBytes(bytes);
        int hash = hasher.ToHashCode();
        int mask = slots.Length - 1;
        int at = hash & mask;
        for (; slots[at].Name is { } name; at = (at + 1) & mask)
            if (slots[at].Hash == hash && data.Slice(slots[at].Start, slots[at].Length).SequenceEqual(bytes))
                return name;
        string added = Decode(bytes, start);
        slots[at] = new Slot { Hash = hash, Start = start, Length = length, Name = added };
        if (++count > slots.Length / 2)
            Grow();
        return added;
    }

    /// <summary>Checks and decodes one name.</summary>
    /// <exception cref="MalformedInputException">
    /// The bytes cannot be a name: empty, not UTF-8, or with a control character, which would break lines and act on terminals.
    /// </exception>
    public static string Decode(ReadOnlySpan<byte> bytes, int start)
    {
        if (bytes.IsEmpty || bytes.ContainsAnyInRange((byte)0, (byte)0x1f) || !Utf8.IsValid(bytes))
            throw new MalformedInputException(
                "a function name is empty, not UTF-8 or has a control character in it", "sample profile", (ulong)start);
        return Encoding.UTF8.GetString(bytes);
    }

    private void Grow()
    {
        Slot[] larger = new Slot[slots.Length * 2];
        foreach (Slot slot in slots)
        {
            if (slot.Name is null)
                continue;
            int at = slot.Hash & (larger.Length - 1);
            while (larger[at].Name is not null)
                at = (at + 1) & (larger.Length - 1);
            larger[at] = slot;
        }
        slots = larger;
    }
}
