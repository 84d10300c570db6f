import std.stdio, std.conv;

uint mix(uint a, uint b)
{
    foreach (i; 0 .. 8)
    {
        if (a % 64 == 7)
            a += b >> 3;
        else
            a = a * 1664525 + 1013904223;
        b ^= a;
    }
    return a ^ b;
}

void main(string[] args)
{
    immutable rounds = args.length > 1 ? args[1].to!uint : 100;
    uint sum;
    foreach (i; 0 .. rounds)
        sum += mix(sum, i);
    writeln(sum);
}
