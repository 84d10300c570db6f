using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace Perforator.SampleProfiles;

/// <summary>
/// Values by function name, in the order of <see cref="FunctionNameOrder.Names"/>. A profile has hundreds of thousands of these maps,
/// nearly all with a name or two, so few names are kept in arrays; many, which a hostile profile adds in any order, in a tree.
/// </summary>
public sealed class NameMap<T> : IReadOnlyCollection<KeyValuePair<string, T>>
{
    private const int Few = 16;

    /// <summary>Around the value, so that the tree is a type of this assembly and precompiled with it.</summary>
    private readonly record struct Entry(T Value);

    private string[] names = [];
    private T[] values = [];
    private int count;
    private SortedDictionary<string, Entry>? tree;

    /// <summary>A map without names, not to be added to.</summary>
    internal static NameMap<T> Empty { get; } = new();

    /// <summary>How many names have a value.</summary>
    public int Count => tree?.Count ?? count;

    /// <summary>The names in order.</summary>
    public IEnumerable<string> Names
    {
        get
        {
            foreach ((string name, _) in this)
                yield return name;
        }
    }

    /// <summary>The values by name.</summary>
    public IEnumerable<T> Values
    {
        get
        {
            foreach ((_, T value) in this)
                yield return value;
        }
    }

    /// <summary>Whether a name has a value.</summary>
    public bool ContainsKey(string name) => TryGetValue(name, out _);

    /// <summary>Finds the value of a name.</summary>
    public bool TryGetValue(string name, [MaybeNullWhen(false)] out T value)
    {
        if (tree is not null)
        {
            bool isThere = tree.TryGetValue(name, out Entry entry);
            value = entry.Value;
            return isThere;
        }
        int at = Find(name);
        value = at >= 0 ? values[at] : default;
        return at >= 0;
    }

    /// <summary>Gives a name a value, in place of any it had.</summary>
    internal void Set(string name, T value)
    {
        int at = tree is null ? Find(name) : -1;
        if (at >= 0)
        {
            values[at] = value;
            return;
        }
        if (tree is null && count == Few)
        {
            tree = new SortedDictionary<string, Entry>(FunctionNameOrder.Names);
            for (int i = 0; i < count; i++)
                tree.Add(names[i], new Entry(values[i]));
            (names, values, count) = ([], [], 0);
        }
        if (tree is not null)
        {
            tree[name] = new Entry(value);
            return;
        }
        if (count == names.Length)
        {
            int capacity = count == 0 ? 1 : 2 * count;
            Array.Resize(ref names, capacity);
            Array.Resize(ref values, capacity);
        }
        at = ~at;
        Array.Copy(names, at, names, at + 1, count - at);
        Array.Copy(values, at, values, at + 1, count - at);
        names[at] = name;
        values[at] = value;
        count++;
    }

    /// <summary>Takes a name out.</summary>
    internal bool Remove(string name)
    {
        if (tree is not null)
            return tree.Remove(name);
        int at = Find(name);
        if (at < 0)
            return false;
        count--;
        Array.Copy(names, at + 1, names, at, count - at);
        Array.Copy(values, at + 1, values, at, count - at);
        names[count] = null!;
        values[count] = default!;
        return true;
    }

    /// <summary>All names with their values, in order. The map must not change meanwhile.</summary>
    public Enumerator GetEnumerator() => new(this);

    IEnumerator<KeyValuePair<string, T>> IEnumerable<KeyValuePair<string, T>>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Walks a map in order of name. The map must not change meanwhile.</summary>
    public struct Enumerator : IEnumerator<KeyValuePair<string, T>>
    {
        private readonly NameMap<T> map;
        private readonly IEnumerator<KeyValuePair<string, Entry>>? tree;
        private int at;

        internal Enumerator(NameMap<T> map)
        {
            this.map = map;
            tree = map.tree?.GetEnumerator();
            at = -1;
        }

        /// <inheritdoc/>
        public readonly KeyValuePair<string, T> Current =>
            tree is null ? new(map.names[at], map.values[at]) : new(tree.Current.Key, tree.Current.Value.Value);

        readonly object IEnumerator.Current => Current;

        /// <inheritdoc/>
        public bool MoveNext() => tree is null ? ++at < map.count : tree.MoveNext();

        /// <inheritdoc/>
        public void Reset()
        {
            at = -1;
            tree?.Reset();
        }

        /// <inheritdoc/>
        public readonly void Dispose() => tree?.Dispose();
    }

    /// <summary>The index of a name, or the complement of where it belongs.</summary>
    private int Find(string name)
    {
        for (int i = 0; i < count; i++)
            if (FunctionNameOrder.Names.Compare(names[i], name) is var order and >= 0)
                return order == 0 ? i : ~i;
        return ~count;
    }
}
