/* What makes a kernel module one, with two sections of code, and one of initialisation before them in the file. */
struct module { char name[56]; };
__attribute__((section(".gnu.linkonce.this_module"), used)) struct module __this_module = { "toy_mod" };
__attribute__((section(".modinfo"), used)) static const char modinfo[] = "license=GPL\0name=toy_mod";
volatile unsigned sink;
extern void kernel_function(void);

__attribute__((section(".init.text"), noinline)) int init_module(void)
{
    sink = 1;
    return 0;
}

static inline unsigned mix(unsigned x)
{
    if (x & 1)
        return x * 3 + 1;
    return x >> 1;
}

__attribute__((noinline)) unsigned step(unsigned x)
{
    for (unsigned i = 0; i < 8; i++)
        x = mix(x) ^ i;
    return x;
}

__attribute__((noinline, section(".text.unlikely"))) void rare(void)
{
    for (unsigned i = 0; i < 4; i++)
        sink += i;
}

unsigned entry(unsigned n)
{
    unsigned x = n;
    for (unsigned i = 0; i < n; i++)
        x = step(x);
    if (n == 77)
        rare();
    if (n == 99)
        kernel_function();
    return x;
}
