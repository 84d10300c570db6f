using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Perforator.SampleProfiles;

/// <summary>LLVM's 64-bit identity of a function name (<c>MD5Hash</c>, also its GUID): the first eight bytes of its MD5.</summary>
public static class FunctionNameHash
{
    /// <summary>The hash of a name's UTF-8 bytes.</summary>
    [SuppressMessage("Security", "CA5351", Justification = "The format fixes MD5; nothing is protected by it.")]
    public static ulong Of(string name)
    {
        Span<byte> hash = stackalloc byte[MD5.HashSizeInBytes];
        MD5.HashData(Encoding.UTF8.GetBytes(name), hash);
        return BinaryPrimitives.ReadUInt64LittleEndian(hash);
    }
}
