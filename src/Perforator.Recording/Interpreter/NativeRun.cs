namespace Perforator.Recording.Interpreter;

/// <summary>Successive ops of a block that <see cref="BlockTranslator"/> has made native code for.</summary>
/// <param name="First">Index of the first op.</param>
/// <param name="Count">How many ops.</param>
/// <param name="Code">
/// Called as <c>void(byte* state)</c>; says in <see cref="CpuState.Progress"/> how many of the ops were done. Fewer than all means that the next
/// one touches memory whose page is not at hand.
/// </param>
/// <param name="Decides">The op behind the run is a conditional jump, and the code says in <see cref="CpuState.Taken"/> whether it is taken.</param>
internal readonly record struct NativeRun(int First, int Count, nint Code, bool Decides);
