using System.Security.Cryptography;
using Perforator.Bytes;

namespace Perforator.Elf;

/// <summary>Notes: typed pieces of data under an owner's name (System V ABI, "Note Section").</summary>
public static class ElfNote
{
    /// <summary>The descriptor of the first note of the given owner and type; empty when there is none.</summary>
    /// <param name="alignment">Alignment of name and descriptor, 8 for notes in sections aligned so, 4 otherwise.</param>
    /// <exception cref="MalformedInputException">A note reaches past the end.</exception>
    public static ReadOnlySpan<byte> Find(ReadOnlySpan<byte> notes, ReadOnlySpan<byte> owner, uint type, int alignment, string where)
    {
        SpanReader reader = new(notes, where);
        while (reader.Remaining >= 12)
        {
            uint nameSize = reader.ReadU32();
            uint descriptorSize = reader.ReadU32();
            uint noteType = reader.ReadU32();
            ReadOnlySpan<byte> name = reader.ReadBytes(nameSize);
            reader.Align(alignment);
            ReadOnlySpan<byte> descriptor = reader.ReadBytes(descriptorSize);
            if (noteType == type && name.TrimEnd((byte)0).SequenceEqual(owner))
                return descriptor;
            if (reader.Remaining < alignment)
                break;
            reader.Align(alignment);
        }
        return default;
    }

    /// <summary>
    /// The build id of a notes area: NT_GNU_BUILD_ID's descriptor; else, for Go programs linked without one, the first 20 bytes of
    /// the SHA-256 of Go's own id (a text too long to be a build id).
    /// </summary>
    /// <exception cref="MalformedInputException">A note reaches past the end.</exception>
    public static BuildId FindBuildId(ReadOnlySpan<byte> notes, int alignment, string where)
    {
        ReadOnlySpan<byte> gnu = Find(notes, "GNU"u8, ElfConstants.NT_GNU_BUILD_ID, alignment, where);
        if (gnu.Length is > 0 and <= BuildId.MaxLength)
            return BuildId.FromBytes(gnu);
        ReadOnlySpan<byte> go = Find(notes, "Go"u8, ElfConstants.NT_GO_BUILD_ID, alignment, where);
        return go.IsEmpty ? default : BuildId.FromBytes(SHA256.HashData(go).AsSpan(0, 20));
    }
}
