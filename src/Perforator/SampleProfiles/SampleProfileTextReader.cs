using System.Buffers.Text;
using System.Runtime.InteropServices;
using Perforator.Bytes;

namespace Perforator.SampleProfiles;

/// <summary>
/// LLVM's text format, as <c>SampleProfileReaderText</c> reads it: a header line <c>name:total:head</c> for each function, then, one
/// space deeper for each level of inlining, <c>offset[.discriminator]: samples [callee:samples]…</c> for a line,
/// <c>offset[.discriminator]: callee:total</c> for an inlined callee, and <c>!CFGChecksum: n</c> or <c>!Attributes: n</c> at a
/// function's end. Names may hold colons and spaces, so numbers are found from the right. The header line of a context-sensitive
/// profile has a calling context for a name.
/// </summary>
internal sealed class SampleProfileTextReader
{
    private readonly NamePool names = new();
    private readonly SampleProfile profile = new();

    /// <summary>The function whose lines are being read and those it is inlined into, outermost first.</summary>
    private readonly List<FunctionSamples> inlineStack = [];

    /// <summary>The depth at which metadata ended a function, 0 when none did.</summary>
    private int metadataDepth;

    private int lineNumber;

    /// <summary>The functions of a context-sensitive profile; null in others.</summary>
    private ContextTree? contexts;

    public SampleProfile Parse(ReadOnlySpan<byte> data)
    {
        for (int start = 0; start < data.Length;)
        {
            int length = data[start..].IndexOf((byte)'\n');
            int next = length < 0 ? data.Length : start + length + 1;
            ReadOnlySpan<byte> line = data[start..(length < 0 ? data.Length : start + length)].TrimEnd(" \r"u8);
            lineNumber++;
            int depth = line.IndexOfAnyExcept((byte)' ');
            if (depth == 0 && line[0] != '#')
                ReadHeader(data, start, line);
            else if (depth > 0 && line[depth] != '#')
                ReadSamples(data, start, line, depth);
            start = next;
        }
        contexts?.NestInto(profile);
        profile.UsesMd5Names = profile.Functions.Count != 0 && profile.Functions.Keys.All(static name => IsMd5Name(name));
        return profile;
    }

    private MalformedInputException Malformed(string what, int offset) =>
        new($"line {lineNumber}: {what}", "text sample profile", (ulong)offset);

    private void ReadHeader(ReadOnlySpan<byte> data, int start, ReadOnlySpan<byte> line)
    {
        int headColon = line.LastIndexOf((byte)':');
        int totalColon = headColon < 0 ? -1 : line[..headColon].LastIndexOf((byte)':');
        if (totalColon < 1 || !TryNumber(line[(totalColon + 1)..headColon], out ulong total)
            || !TryNumber(line[(headColon + 1)..], out ulong head))
            throw Malformed("'name:total samples:head samples' expected", start);
        FunctionSamples function =
            line[0] == '[' ? ReadContext(data, start, line[..totalColon]) : profile.Function(names.Get(data, start, totalColon));
        function.AddTotalSamples(total);
        function.AddHeadSamples(head);
        inlineStack.Clear();
        inlineStack.Add(function);
        metadataDepth = 0;
    }

    /// <summary>Reads <c>[main:3 @ _Z5parsePKc:2.1 @ _Z4scanv]</c>: callers with the place of each call, the function last.</summary>
    private FunctionSamples ReadContext(ReadOnlySpan<byte> data, int start, ReadOnlySpan<byte> text)
    {
        if (text[^1] != ']')
            throw Malformed("context without ']'", start);
        ReadOnlySpan<byte> separator = " @ "u8;
        List<ContextFrame> frames = [];
        for (int at = 1; ;)
        {
            int length = text[at..^1].IndexOf(separator);
            ReadOnlySpan<byte> frame = length < 0 ? text[at..^1] : text.Slice(at, length);
            LineLocation callsite = default;
            int nameLength = frame.Length;
            if (length >= 0)
            {
                nameLength = frame.LastIndexOf((byte)':');
                if (nameLength < 0 || !TryLocation(frame[(nameLength + 1)..], out callsite))
                    throw Malformed("'[caller:offset[.discriminator] @ … @ function]' expected", start);
            }
            frames.Add(new ContextFrame(names.Get(data, start + at, nameLength), callsite));
            if (frames.Count > ContextTree.MaxDepth)
                throw Malformed($"a context of more than {ContextTree.MaxDepth} frames", start);
            if (length < 0)
                break;
            at += length + separator.Length;
        }
        contexts ??= new ContextTree();
        return contexts.Function(CollectionsMarshal.AsSpan(frames));
    }

    private void ReadSamples(ReadOnlySpan<byte> data, int start, ReadOnlySpan<byte> line, int depth)
    {
        if (inlineStack.Count == 0)
            throw Malformed("samples before the first function", start);
        if (inlineStack.Count > depth)
            inlineStack.RemoveRange(depth, inlineStack.Count - depth);
        FunctionSamples function = inlineStack[^1];
        if (line[depth] == '!')
        {
            ReadMetadata(line[depth..], function, start);
            metadataDepth = depth;
            return;
        }
        if (depth == metadataDepth)
            throw Malformed("samples after the function's metadata", start);

        int colon = line.IndexOf((byte)':');
        if (colon < 0 || colon + 2 >= line.Length || line[colon + 1] != ' ' || !TryLocation(line[depth..colon], out LineLocation location))
            throw Malformed("'offset[.discriminator]: samples' expected", start);
        int at = colon + 2;
        int wordLength = line[at..].IndexOf((byte)' ');
        ReadOnlySpan<byte> word = wordLength < 0 ? line[at..] : line.Slice(at, wordLength);
        if (TryNumber(word, out ulong samples))
        {
            BodySample sample = function.BodyAt(location);
            sample.AddSamples(samples);
            for (at += word.Length; at < line.Length;)
                at = ReadNameCount(data, start, line, at, (name, count) => sample.AddCallTarget(name, count));
            return;
        }
        if (VTableKeyword(word) is { } keyword)
        {
            (profile.HasVTables, profile.VTableKeyword) = (true, keyword);
            for (at += word.Length; at < line.Length;)
                at = ReadNameCount(data, start, line, at, (name, count) => function.AddVTable(location, name, count));
            return;
        }
        int totalColon = line.LastIndexOf((byte)':');
        if (totalColon <= at || !TryNumber(line[(totalColon + 1)..], out ulong total))
            throw Malformed("'offset[.discriminator]: callee:total samples' expected", start);
        FunctionSamples callee = function.InlinedAt(location, names.Get(data, start + at, totalColon - at));
        callee.AddTotalSamples(total);
        if (inlineStack.Count > FunctionSamples.MaxInlineDepth)
            throw Malformed($"functions inlined more than {FunctionSamples.MaxInlineDepth} levels deep", start);
        inlineStack.Add(callee);
        metadataDepth = 0;
    }

    /// <summary>
    /// Reads <c>name:count</c>. A name that is not mangled may hold colons and spaces (<c>std::allocator&lt;char&gt; &gt;</c>), so it
    /// ends at the first colon with a number behind it.
    /// </summary>
    /// <returns>Where the next call target starts.</returns>
    private int ReadNameCount(ReadOnlySpan<byte> data, int start, ReadOnlySpan<byte> line, int at, Action<string, ulong> add)
    {
        while (at < line.Length && line[at] == ' ')
            at++;
        int end = at;
        for (int colon = at; ; colon++)
        {
            int step = line[colon..].IndexOf((byte)':');
            if (step < 0)
                throw Malformed("'callee:samples' expected", start);
            colon += step;
            if (end <= colon)
            {
                end = line[colon..].IndexOf((byte)' ');
                end = end < 0 ? line.Length : colon + end;
            }
            if (!TryNumber(line[(colon + 1)..end], out ulong count))
                continue;
            if (colon == at)
                throw Malformed("call target without a name", start);
            add(names.Get(data, start + at, colon - at), count);
            return end;
        }
    }

    /// <summary>The word that begins a line of virtual tables; null when it is none of these.</summary>
    private static string? VTableKeyword(ReadOnlySpan<byte> word) =>
        word.SequenceEqual("vtables"u8)
            ? SampleProfile.NewVTableKeyword : word.SequenceEqual("<vt-call>"u8) ? SampleProfile.OldVTableKeyword : null;

    private void ReadMetadata(ReadOnlySpan<byte> text, FunctionSamples function, int start)
    {
        if (text.TrimEnd((byte)' ').SequenceEqual("!Flat"u8))
        {
            function.IsMarkedFlat = true;
            return;
        }
        ulong checksum = 0, attributes = 0;
        if (TryMetadata(text, "!CFGChecksum:"u8, out checksum))
            profile.IsProbeBased = true;
        else if (!TryMetadata(text, "!Attributes:"u8, out attributes) || attributes > uint.MaxValue)
            throw Malformed("'!CFGChecksum: number', '!Attributes: number' or '!Flat' expected", start);
        if (checksum != 0)
            function.Checksum = checksum;
        function.Attributes = (ContextAttributes)attributes;
        profile.IsPreInlined |= (function.Attributes & ContextAttributes.ShouldBeInlined) != 0;
    }

    private static bool TryMetadata(ReadOnlySpan<byte> text, ReadOnlySpan<byte> key, out ulong value)
    {
        value = 0;
        return text.StartsWith(key) && TryNumber(text[key.Length..].Trim((byte)' '), out value);
    }

    private static bool TryLocation(ReadOnlySpan<byte> text, out LineLocation location)
    {
        int dot = text.IndexOf((byte)'.');
        ulong discriminator = 0;
        bool isValid = TryNumber(dot < 0 ? text : text[..dot], out ulong offset) && offset <= BinaryFormat.MaxLineOffset
            && (dot < 0 || (TryNumber(text[(dot + 1)..], out discriminator) && discriminator <= uint.MaxValue));
        location = new LineLocation((uint)offset, (uint)discriminator);
        return isValid;
    }

    private static bool TryNumber(ReadOnlySpan<byte> text, out ulong value) =>
        Utf8Parser.TryParse(text, out value, out int consumed) && consumed == text.Length && text[0] is >= (byte)'0' and <= (byte)'9';

    private static bool IsMd5Name(string name) => name[0] is > '0' and <= '9' && ulong.TryParse(name, out _);
}
