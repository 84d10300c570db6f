unsigned entry(unsigned);
void kernel_function(void) {}
void _start(void)
{
    for (int i = 0; i < 3000; i++)
        entry(i % 100 == 0 ? 77 : 2000);
    __asm__ volatile("mov $60,%eax; xor %edi,%edi; syscall");
}
