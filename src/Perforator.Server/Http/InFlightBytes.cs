using Microsoft.AspNetCore.Http;

namespace Perforator.Server.Http;

/// <summary>
/// Bounds the memory that all uploads under way take together: each asks for what it will need before its body is read, and waits while
/// others have it.
/// </summary>
internal sealed class InFlightBytes
{
    private readonly Lock access = new();
    private readonly LinkedList<(long Bytes, TaskCompletionSource Turn)> waiting = [];
    private readonly long limit;
    private readonly TimeSpan patience;
    private long taken;

    /// <param name="limit">Bytes that may be taken at once.</param>
    /// <param name="patience">How long an upload waits for its turn.</param>
    public InFlightBytes(long limit, TimeSpan patience)
    {
        this.limit = limit;
        this.patience = patience;
    }

    /// <summary>Takes bytes, in the order of asking; they are given back when the result is disposed.</summary>
    /// <exception cref="ApiException">503: others had them for too long.</exception>
    public async Task<Share> TakeAsync(long bytes, CancellationToken stop)
    {
        // What is larger than everything waits until it is alone.
        bytes = Math.Min(bytes, limit);
        LinkedListNode<(long, TaskCompletionSource)> node;
        lock (access)
        {
            if (waiting.Count == 0 && taken + bytes <= limit)
            {
                taken += bytes;
                return new Share(this, bytes);
            }
            node = waiting.AddLast((bytes, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
        }
        try
        {
            await node.Value.Item2.Task.WaitAsync(patience, stop);
            return new Share(this, bytes);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            lock (access)
            {
                if (node.List is not null)
                    waiting.Remove(node);
                else
                    Return(bytes);
                Serve();
            }
            throw e is TimeoutException
                ? new ApiException(
                    StatusCodes.Status503ServiceUnavailable, "the server is busy with other uploads; send this one again in a few seconds")
                : e;
        }
    }

    /// <summary>Bytes that are taken, and how many uploads wait.</summary>
    public (long Bytes, int Waiting) Now
    {
        get
        {
            lock (access)
                return (taken, waiting.Count);
        }
    }

    private void Return(long bytes) => taken -= bytes;

    private void Serve()
    {
        while (waiting.First is { } next && taken + next.Value.Bytes <= limit)
        {
            waiting.Remove(next);
            taken += next.Value.Bytes;
            next.Value.Turn.SetResult();
        }
    }

    /// <summary>Bytes taken by one upload.</summary>
    public sealed class Share : IDisposable
    {
        private readonly InFlightBytes owner;
        private long bytes;

        internal Share(InFlightBytes owner, long bytes)
        {
            this.owner = owner;
            this.bytes = bytes;
        }

        public void Dispose()
        {
            lock (owner.access)
            {
                owner.Return(bytes);
                bytes = 0;
                owner.Serve();
            }
        }
    }
}
