using Perforator.Elf;
using Perforator.Symbolize;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Symbolize;

/// <summary>
/// References by type signature (DW_FORM_ref_sig8). Compilers use them for types; functions keep their declarations in the compile unit.
/// Hand-written debug info lets a function's specification be in a type unit, as the format allows; LLVM 19 does not follow it.
/// </summary>
public class TypeUnitTests(SourcePrograms programs) : IClassFixture<SourcePrograms>
{
    private const string Code = """
        .text
        .globl _start
        _start: nop
        ret
        .Lend:
        .section .debug_abbrev,"",@progbits
        .uleb128 1; .uleb128 0x11; .byte 1; .uleb128 0x11; .uleb128 0x01; .uleb128 0x12; .uleb128 0x07; .uleb128 0; .uleb128 0
        .uleb128 2; .uleb128 0x2e; .byte 0; .uleb128 0x11; .uleb128 0x01; .uleb128 0x12; .uleb128 0x07; .uleb128 0x47; .uleb128 0x20; .uleb128 0; .uleb128 0
        .uleb128 3; .uleb128 0x41; .byte 1; .uleb128 0; .uleb128 0
        .uleb128 4; .uleb128 0x2e; .byte 0; .uleb128 0x03; .uleb128 0x08; .uleb128 0x3b; .uleb128 0x0b; .uleb128 0; .uleb128 0
        .byte 0
        """;

    private const string CompileUnit = """
        .uleb128 1; .quad _start; .quad .Lend - _start
        .uleb128 2; .quad _start; .quad .Lend - _start; .quad 0x1122334455667788
        .byte 0
        .Lunit_end:
        """;

    private const string TypeUnit = """
        .quad 0x1122334455667788
        .long .Ltype - .Ltypes
        .uleb128 3
        .Ltype: .uleb128 4; .asciz "declared"; .byte 42
        .byte 0
        .Ltypes_end:
        """;

    [Fact]
    public void In_DWARF_5_they_are_in_debug_info() => AssertDeclared("v5", """
        .section .debug_info,"",@progbits
        .Lunit: .long .Lunit_end - .Lunit - 4
        .short 5
        .byte 1, 8
        .long 0
        """, CompileUnit, """
        .Ltypes: .long .Ltypes_end - .Ltypes - 4
        .short 5
        .byte 2, 8
        .long 0
        """, TypeUnit);

    [Fact]
    public void In_DWARF_4_they_are_in_debug_types() => AssertDeclared("v4", """
        .section .debug_info,"",@progbits
        .Lunit: .long .Lunit_end - .Lunit - 4
        .short 4
        .long 0
        .byte 8
        """, CompileUnit, """
        .section .debug_types,"",@progbits
        .Ltypes: .long .Ltypes_end - .Ltypes - 4
        .short 4
        .long 0
        .byte 8
        """, TypeUnit);

    private void AssertDeclared(string name, params string[] parts)
    {
        string source = programs.Write($"{name}.s", string.Join('\n', [Code, .. parts, ""]).Replace("; ", "\n", StringComparison.Ordinal));
        Tool.Run("clang-19", ["-nostdlib", "-static", "-fuse-ld=lld-19", source, "-o", programs[name]]).Succeeded();
        using ElfFile file = ElfFile.Load(programs[name]);
        using Symbolizer symbolizer = Symbolizer.Open(file, LocalDebugFiles.Found);
        BinaryAddress start = new(LlvmSymbolizer.Instructions(programs[name])[0]);
        SourceFrame frame = Assert.Single(symbolizer.Find(start).Frames());
        Assert.Equal(("declared", 42U), (frame.Function, frame.StartLine));
        Assert.Equal("declared", symbolizer.FindFunction(start)!.Function.Name);
        Assert.Equal(0UL, symbolizer.Losses.Total);
    }
}
