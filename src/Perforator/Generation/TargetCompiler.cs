namespace Perforator.Generation;

/// <summary>The compiler that a sample profile is made for: names, lines and discriminators are taken in its sense.</summary>
public enum TargetCompiler
{
    /// <summary>clang, and others that use LLVM's sample profiles: rustc, LDC.</summary>
    Clang,

    /// <summary>GCC, <c>-fauto-profile</c>.</summary>
    Gcc,

    /// <summary>Go, <c>go build -pgo</c>.</summary>
    Go,
}
