using System.Text;
using Perforator.Branches;

namespace Perforator.PerfScript;

/// <summary>
/// The binaries whose addresses, where text has their build id before them, are those that they are linked to. Of several, each is given an
/// address space of its own by the upper bits, since most are linked to the same addresses.
/// </summary>
public sealed class LinkedAddresses
{
    /// <summary>No binary.</summary>
    public static readonly LinkedAddresses None = new([]);

    /// <summary>Addresses of processes and of binaries have no more bits that tell them apart.</summary>
    private const int Bits = 52;

    private const ulong Mask = (1UL << Bits) - 1;
    private const int MaxModules = 1 << (63 - Bits);

    private readonly Module[] modules;

    /// <param name="modules">The binaries.</param>
    public LinkedAddresses(IReadOnlyList<Module> modules) => this.modules = [.. modules.Take(MaxModules - 1)];

    /// <summary>Where their code is taken to lie, in every process without mappings of its own.</summary>
    public IEnumerable<Mapping> Mappings =>
        modules.SelectMany(
            (module, i) => module.MappingsAsLinked().Select(mapping => mapping with { Start = new(Place(i, mapping.Start.Value)) }));

    /// <summary>The address that stands for one of a binary; false when it is none of these.</summary>
    /// <param name="buildId">Hexadecimal digits.</param>
    /// <param name="address">As it is linked.</param>
    /// <param name="placed">Where <see cref="Mappings"/> have it.</param>
    internal bool TryPlace(ReadOnlySpan<byte> buildId, ulong address, out ulong placed)
    {
        placed = 0;
        if (modules.Length == 0 || !BuildId.TryParse(Encoding.ASCII.GetString(buildId), out BuildId id))
            return false;
        for (int i = 0; i < modules.Length; i++)
        {
            if (!modules[i].BuildId.IsSameAs(id))
                continue;
            placed = Place(i, address);
            return true;
        }
        return false;
    }

    /// <summary>The only binary stays where it is linked: there, addresses without a build id are its own too.</summary>
    private ulong Place(int module, ulong address) => modules.Length == 1 ? address : ((ulong)(module + 1) << Bits) | (address & Mask);
}
