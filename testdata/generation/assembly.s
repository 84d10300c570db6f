  .text
  .globl spin
  .type spin,@function
spin:
  movq %rdi, %rax
1: decq %rdi
  jz 2f
  addq %rdi, %rax
inner_label:
  testq $3, %rdi
  jne 1b
  call leaf
  jmp 1b
2: ret
  .size spin, .-spin
leaf: xorq %rdi, %rax
  ret
table: .quad 1, 2, 3
  .globl after
  .type after,@function
after: leaq 1(%rdi), %rax
  ret
  .section .note.GNU-stack,"",@progbits
