namespace Perforator.Generation;

/// <summary>Linkage names as sample profiles spell them.</summary>
internal static class CanonicalName
{
    /// <summary>
    /// A name without the suffixes that compilation adds and the next compilation may add differently: <c>.llvm.&lt;hash&gt;</c>
    /// (ThinLTO promotion) and <c>.part.&lt;n&gt;</c> (GCC's partial inlining). <c>.__uniq.</c> stays: it is stable and tells
    /// functions apart. LLVM's <c>FunctionSamples::getCanonicalFnName</c> with its default policy.
    /// </summary>
    public static string Of(string name) => Strip(Strip(name, ".llvm."), ".part.");

    private static string Strip(string name, string suffix)
    {
        int at = name.AsSpan().LastIndexOf(suffix);
        return at >= 0 && name.LastIndexOf('.') == at + suffix.Length - 1 ? name[..at] : name;
    }

    /// <summary>
    /// Whether several different functions of a program share the name, so that their merged samples would mislead: the
    /// initialisers that C++ compilers make. llvm-profgen leaves the same ones out.
    /// </summary>
    public static bool IsAmbiguous(string name) =>
        name.StartsWith("__cxx_global_var_init", StringComparison.Ordinal) || name.StartsWith("__tls_init", StringComparison.Ordinal);
}
