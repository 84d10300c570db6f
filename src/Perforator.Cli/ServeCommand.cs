using System.CommandLine;
using Perforator.Server;

namespace Perforator.Cli;

/// <summary><c>perforator serve</c>: one process with HTTP API and storage.</summary>
internal static class ServeCommand
{
    public static Command Create()
    {
        Option<string?> data = new("--data")
        {
            Description = "Folder to keep everything in; created when missing. Default: $XDG_DATA_HOME/perforator, else ~/.local/share/perforator.",
            HelpName = "DIR",
        };
        Option<string> listen = new("--listen")
        {
            Description = "Address to listen on. The API has no authentication: for other hosts, put it behind a proxy that has.",
            HelpName = "URL",
            DefaultValueFactory = static _ => ServerSettings.DefaultAddress.GetLeftPart(UriPartial.Authority),
        };
        Option<int?> port = new("--port")
        {
            Description = "Port to listen on instead of the one in --listen; 0 takes a free one.",
            HelpName = "N",
        };
        port.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 0 or > 65535)
                result.AddError("--port is 0 to 65535");
        });
        Command command = new("serve",
            """
            Keeps profiles and binaries and answers pgo requests. Prints its address on stdout once it is ready; ends cleanly on SIGTERM and Ctrl-C.

            Example: perforator serve --data /var/lib/perforator
            """)
        { data, listen, port };
        command.SetAction((parsed, stop) => RunAsync(parsed.GetValue(data) ?? DefaultData(), parsed.GetValue(listen)!, parsed.GetValue(port), stop));
        return command;
    }

    private static async Task<int> RunAsync(string data, string listen, int? port, CancellationToken stop)
    {
        Uri address = ServerOption.Parse(listen, "--listen");
        if (port is { } number)
            address = new UriBuilder(address) { Port = number }.Uri;
        await using PerforatorServer server = await PerforatorServer.StartAsync(new ServerSettings(data, address), stop);
        Console.Out.WriteLine(server.Address.GetLeftPart(UriPartial.Authority));
        await server.RunAsync(stop);
        return ExitCodes.Ok;
    }

    private static string DefaultData() =>
        Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "perforator");
}
