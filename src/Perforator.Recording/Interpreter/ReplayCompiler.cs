using System.Runtime.Intrinsics.X86;
using Iced.Intel;

namespace Perforator.Recording.Interpreter;

/// <summary>
/// Makes native code that replays one data-processing instruction on the interpreted registers: it loads the registers the
/// instruction uses from <see cref="CpuState"/>, executes the very instruction with its memory operand, if any, redirected to a
/// given pointer, and stores the registers back. So the CPU itself defines what vector, floating-point and bit-manipulation
/// instructions do.
/// </summary>
/// <remarks>
/// Only instructions that <see cref="ReplayPolicy"/> admits get here: none that branches, traps, touches memory other than its
/// operand or changes anything but registers and flags. Code is called as <c>void(byte* state, byte* memory)</c> in the System V
/// convention and may clobber what a call may.
/// </remarks>
internal sealed class ReplayCompiler : IDisposable
{
    /// <summary>Address space; memory is used as code comes.</summary>
    private const int CodeSize = 32 << 20;
    private const int LongestStub = 1024;

    private static readonly Register[] StateCandidates =
        [Register.RDI, Register.R8, Register.R9, Register.R10, Register.R11, Register.RAX, Register.RCX, Register.RDX, Register.RBX, Register.R12];

    // Low registers only: an operand such as AH cannot be encoded together with R8 … R15.
    private static readonly Register[] PointerCandidates =
        [Register.RSI, Register.RAX, Register.RCX, Register.RDX, Register.RDI, Register.RBX];

    private readonly ExecutableMemory memory = new(CodeSize);
    private readonly InstructionInfoFactory infoFactory = new();
    private readonly Dictionary<Instruction, nint> compiled = [];

    /// <summary>The native code for an instruction; 0 when it cannot be replayed.</summary>
    public nint Compile(in Instruction original)
    {
        Instruction instruction = original;
        instruction.IP = 0;
        instruction.Length = 0;
        if (HasMemory(instruction))
        {
            // All memory operands of one shape share their code.
            instruction.MemoryBase = Register.RSI;
            instruction.MemoryIndex = Register.None;
            instruction.MemoryIndexScale = 1;
            instruction.MemoryDisplacement64 = 0;
            instruction.MemoryDisplSize = 0;
            instruction.SegmentPrefix = Register.None;
        }
        if (!compiled.TryGetValue(instruction, out nint code))
        {
            code = memory.Free < LongestStub ? 0 : Assemble(original, instruction);
            compiled.Add(instruction, code);
        }
        return code;
    }

    public void Dispose() => memory.Dispose();

    private static bool HasMemory(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return true;
        return false;
    }

    private nint Assemble(in Instruction original, Instruction instruction)
    {
        InstructionInfo info = infoFactory.GetInfo(original);
        HashSet<Register> general = [], vectors = [], masks = [];
        HashSet<Register> written = [];
        bool x87 = false;
        foreach (UsedRegister used in info.GetUsedRegisters())
        {
            Register full = used.Register.GetFullRegister();
            if (full.IsGPR64())
                general.Add(full);
            else if (full.IsVectorRegister())
                vectors.Add(full = Register.ZMM0 + full.GetNumber());
            else if (full.IsK())
                masks.Add(full);
            else if (full.IsST() || full.IsMM())
                x87 = true;
            else if (!full.IsSegmentRegister())
                return 0;
            if (used.Access is OpAccess.Write or OpAccess.ReadWrite or OpAccess.CondWrite or OpAccess.ReadCondWrite)
                written.Add(full);
        }
        x87 |= ReplayPolicy.UsesX87(original);
        bool hasMemory = HasMemory(instruction);
        if (hasMemory)
        {
            // The address registers of the original operand are not the replayed instruction's.
            HashSet<Register> operands = [.. OperandRegisters(original)];
            foreach (Register address in new[] { original.MemoryBase.GetFullRegister(), original.MemoryIndex.GetFullRegister() })
                if (!operands.Contains(address) && !ReplayPolicy.UsesImplicitly(original, address))
                    general.Remove(address);
        }
        if (general.Contains(Register.RSP) || (x87 && vectors.Count > 0))
            return 0;

        Register state = StateCandidates.FirstOrDefault(r => !general.Contains(r));
        Register pointer = PointerCandidates.FirstOrDefault(r => !general.Contains(r) && r != state);
        if (state == Register.None || pointer == Register.None)
            return 0;
        if (hasMemory)
            instruction.MemoryBase = pointer;

        StubAssembler stub = new(state);
        Register[] saved = [.. new[] { Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15 }
            .Where(r => general.Contains(r) || r == state || r == pointer)];
        foreach (Register register in saved)
            stub.Add(Instruction.Create(Code.Push_r64, register));
        if (state != Register.RDI)
            stub.Add(Instruction.Create(Code.Mov_r64_rm64, state, Register.RDI));
        if (hasMemory && pointer != Register.RSI)
            stub.Add(Instruction.Create(Code.Mov_r64_rm64, pointer, Register.RSI));
        if (x87)
            stub.Add(Instruction.Create(Code.Fxrstor_m512byte, stub.At(CpuState.X87)));
        foreach (Register vector in vectors)
            stub.LoadVector(vector);
        foreach (Register mask in masks)
            stub.Add(Instruction.Create(Code.VEX_Kmovq_kr_km64, mask, stub.At(CpuState.Opmasks + (8 * mask.GetNumber()))));
        bool usesMxcsr = vectors.Count > 0 && ReplayPolicy.UsesMxcsr(original);
        if (usesMxcsr)
            stub.Add(Instruction.Create(Code.Ldmxcsr_m32, stub.At(CpuState.Mxcsr)));
        if (ReplayPolicy.ReadsFlags(original))
        {
            stub.Add(Instruction.Create(Code.Push_rm64, stub.At(CpuState.ReplayFlags)));
            stub.Add(Instruction.Create(Code.Popfq));
        }
        foreach (Register register in general)
            stub.Add(Instruction.Create(Code.Mov_r64_rm64, register, stub.At(CpuState.General + (8 * register.GetNumber()))));

        stub.Add(instruction);

        foreach (Register register in general.Where(written.Contains))
            stub.Add(Instruction.Create(Code.Mov_rm64_r64, stub.At(CpuState.General + (8 * register.GetNumber())), register));
        if (ReplayPolicy.WritesFlags(original))
        {
            stub.Add(Instruction.Create(Code.Pushfq));
            stub.Add(Instruction.Create(Code.Pop_rm64, stub.At(CpuState.ReplayFlags)));
        }
        if (usesMxcsr)
        {
            stub.Add(Instruction.Create(Code.Stmxcsr_m32, stub.At(CpuState.Mxcsr)));
            stub.Add(Instruction.Create(Code.Ldmxcsr_m32, stub.At(CpuState.HostMxcsr)));
        }
        foreach (Register mask in masks.Where(written.Contains))
            stub.Add(Instruction.Create(Code.VEX_Kmovq_m64_kr, stub.At(CpuState.Opmasks + (8 * mask.GetNumber())), mask));
        foreach (Register vector in vectors.Where(written.Contains))
            stub.StoreVector(vector);
        if (x87)
        {
            stub.Add(Instruction.Create(Code.Fxsave_m512byte, stub.At(CpuState.X87)));
            stub.Add(Instruction.Create(Code.Fninit));
            stub.Add(Instruction.Create(Code.Ldmxcsr_m32, stub.At(CpuState.HostMxcsr)));
        }
        if (vectors.Count > 0 && Avx.IsSupported)
            stub.Add(Instruction.Create(Code.VEX_Vzeroupper));
        foreach (Register register in saved.Reverse())
            stub.Add(Instruction.Create(Code.Pop_r64, register));
        stub.Add(Instruction.Create(Code.Retnq));
        byte[]? code = stub.Assemble(memory.NextAddress);
        return code is null ? 0 : memory.Add(code);
    }

    private static IEnumerable<Register> OperandRegisters(Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
            if (instruction.GetOpKind(i) == OpKind.Register)
                yield return instruction.GetOpRegister(i).GetFullRegister();
    }
}
