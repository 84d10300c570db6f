// Two callers of one function, of which each takes a way of its own through it: a profile by caller keeps them apart.
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) unsigned work(unsigned rounds, int multiplies)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < rounds; i++) {
        if (multiplies)
            sum += i * 3;
        else
            sum ^= i + (sum >> 3);
        if (sum & 1)
            sum += 7;
    }
    return sum;
}

__attribute__((noinline)) unsigned often(unsigned rounds) { return work(rounds, 1) + 1; }

__attribute__((noinline)) unsigned seldom(unsigned rounds) { return work(rounds, 0) + 2; }

int main(int argc, char **argv)
{
    unsigned sum = 0;
    for (unsigned i = atoi(argv[argc - 1]); i > 0; i--)
        sum += often(900 + (sum & 1)) + seldom(100 + (sum & 3));
    printf("%u\n", sum);
}
