using System.CommandLine;

namespace Perforator.Cli;

/// <summary><c>--server URL</c>, which every verb that talks to a server has.</summary>
internal static class ServerOption
{
    private const string Variable = "PERFORATOR_SERVER";

    public static Option<string?> Create() => new("--server")
    {
        Description = $"Address of the server. Default: {Variable}, else http://127.0.0.1:7733.",
        HelpName = "URL",
    };

    /// <summary>The address meant: the option's value, the environment's, or the default.</summary>
    /// <exception cref="UserErrorException">It is not an http or https URL.</exception>
    public static Uri Resolve(string? value)
    {
        (string text, string from) = value is not null ? (value, "--server")
            : Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } variable ? (variable, Variable)
            : (Api.ApiRoutes.DefaultAddress.ToString(), "");
        return Parse(text, from);
    }

    /// <summary>Reads an http or https URL; a path in it is kept, since proxies may serve the API below one.</summary>
    public static Uri Parse(string text, string from) =>
        Uri.TryCreate(text.EndsWith('/') ? text : text + "/", UriKind.Absolute, out Uri? uri) && uri.Scheme is "http" or "https"
            ? uri
            : throw new UserErrorException(
                $"'{text}' ({from}) is not an http:// or https:// address; give one such as {Api.ApiRoutes.DefaultAddress}");
}
