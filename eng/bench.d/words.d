// Steps a state by the letters of a text, with handlers behind an interface: one of the cases and one of the handlers are hot.
import std.stdio, std.conv;

interface Handler
{
    uint handle(uint state, ubyte c);
}

final class Letter : Handler
{
    uint count;
    uint handle(uint state, ubyte c)
    {
        count += c & 31;
        return state * 31 + c;
    }
}

final class Rare : Handler
{
    uint[64] seen;
    uint handle(uint state, ubyte c)
    {
        foreach (i, ref s; seen)
            s += (state >> (i & 15)) ^ c;
        return seen[c & 63];
    }
}

uint step(Handler[] handlers, uint state, ubyte c)
{
    switch (c)
    {
    case '\n': return state ^ 0x5bd1e995;
    case '\t': return handlers[1].handle(state, c) + 7;
    case '"': return handlers[1].handle(state, c) * 5;
    case '0': .. case '9': return state % 10 == 3 ? handlers[1].handle(state, c) : state + c - '0';
    case ' ': return state >> 1;
    default: return handlers[0].handle(state, c);
    }
}

void main(string[] args)
{
    immutable rounds = args.length > 1 ? args[1].to!uint : 100;
    auto text = new ubyte[4096];
    uint seed = 42;
    foreach (ref c; text)
    {
        seed = seed * 1664525 + 1013904223;
        immutable kind = seed >> 24;
        c = kind < 2 ? '\t' : kind < 6 ? '\n' : kind < 30 ? ' ' : kind < 34 ? cast(ubyte)('0' + kind % 10) : cast(ubyte)('a' + kind % 26);
    }
    Handler[] handlers = [cast(Handler) new Letter, cast(Handler) new Rare];
    uint state;
    foreach (i; 0 .. rounds)
        foreach (c; text)
            state = step(handlers, state, c);
    writeln(state);
}
