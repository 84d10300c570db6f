namespace Perforator.Server.Storage;

/// <summary>What keeps the data does not answer just now: the same request may succeed in a moment.</summary>
public sealed class StorageAwayException : IOException
{
    public StorageAwayException(string message, Exception inner) : base(message, inner)
    {
    }
}
