namespace Perforator.Api;

/// <summary>Why a server gave no answer.</summary>
public enum ServerFailure
{
    /// <summary>Nothing answers there, or it broke off.</summary>
    Unreachable,

    /// <summary>It answers that it cannot now: overloaded, restarting, its disk full.</summary>
    Unavailable,

    /// <summary>No such service, build, profile or name.</summary>
    NotFound,

    /// <summary>What was asked for cannot be had of what the server has, such as a profile without a binary.</summary>
    Unusable,

    /// <summary>It wants to know who asks, or does not let them.</summary>
    Forbidden,

    /// <summary>It refuses the request as it is.</summary>
    Refused,

    /// <summary>It answers something that is not of this API, or damaged.</summary>
    Unreadable,
}

/// <summary>A request that a server did not answer as hoped. The message names server and reason, for the person who asked.</summary>
public sealed class ServerException : UserErrorException
{
    public ServerException(ServerFailure failure, string message, Exception? inner = null) : base(message, inner) => Failure = failure;

    /// <summary>Why.</summary>
    public ServerFailure Failure { get; }

    /// <summary>Whether the same request may succeed later: the server was away or in trouble, rather than refusing it.</summary>
    public bool IsWorthRepeating => Failure is ServerFailure.Unreachable or ServerFailure.Unavailable or ServerFailure.Unreadable;
}
