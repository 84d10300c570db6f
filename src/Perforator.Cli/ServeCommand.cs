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
            Description = "Folder to keep everything in (with --database and --objects only copies and files on their way); created when missing. Default: $XDG_DATA_HOME/perforator, else ~/.local/share/perforator.",
            HelpName = "DIR",
        };
        Option<string> listen = new("--listen")
        {
            Description = "Address to listen on. One that other hosts reach needs --auth and https (or --insecure).",
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
        Option<string?> auth =
            new("--auth") { Description = "Who may do what: a YAML file, see docs/security.md. Default: nobody is asked, on loopback only.", HelpName = "FILE" };
        Option<string?> enrol = new("--enrol")
        {
            Description = "Services by pattern, with pinned rates and labels: a YAML file, see docs/server.md. Read again when it changes and at SIGHUP.",
            HelpName = "FILE",
        };
        Option<bool> insecure = new("--insecure") { Description = "Serve other hosts without --auth, or with it over plain http." };
        Option<string[]> host = new("--host")
        {
            Description = "A name by which clients call this server; may be given again. localhost, this machine's name and addresses need none.",
            HelpName = "NAME",
        };
        Option<string?> certificate =
            new("--tls-certificate") { Description = "The server's certificate, with those between it and its authority (PEM). Read again when it changes.", HelpName = "FILE" };
        Option<string?> key = new("--tls-key") { Description = "The certificate's private key (PEM).", HelpName = "FILE" };
        Option<int> keepUploads =
            Days("--keep-uploads", 7, "Days that uploads are kept one by one, before the service's newest; their sums stay.");
        Option<int> keepSums =
            Days("--keep-sums", 400, "Days that sums of uploads are kept, before the service's newest, and generated profiles without a name.");
        // For tests, which do not wait for hours.
        Option<double?> compactEvery = new("--compact-every") { Hidden = true, HelpName = "SECONDS" };
        Option<string?> audit =
            new("--audit-log") { Description = "Append a JSON line for each write to this file; - is stderr.", HelpName = "FILE" };
        Option<string?> database = new("--database")
        {
            Description = "PostgreSQL (15 or later) for what is known, in place of the data folder: postgres://user@host,host/database. PGPASSWORD or PGPASSFILE hold the password.",
            HelpName = "URL",
        };
        Option<string?> objects = new("--objects")
        {
            Description = "S3 for bytes, given with --database: s3://bucket/prefix?endpoint=URL&region=NAME&checksums=always|required. Credentials as Amazon's SDK finds them.",
            HelpName = "URL",
        };
        Option<ServerRole> role =
            new("--role") { Description = "api answers requests, worker generates and adds up, all does both.", HelpName = "all|api|worker" };
        Option<LogFormat> logFormat =
            new("--log-format") { Description = "How the log on stderr is written; json is an object a line, with the trace's id.", HelpName = "text|json" };
        Option<bool> demo =
            new("--demo") { Description = "Show recorded history of the sample service, from a temporary folder that goes with the server." };
        Option<string?> sourceRoot = new("--source-root")
        {
            Description = "Folder with the services' source: the page shows the lines of functions. Whoever may read profiles may see all files below it.",
            HelpName = "DIR",
        };
        sourceRoot.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } folder && !Directory.Exists(folder))
                result.AddError($"--source-root '{folder}' is no folder");
        });
        Option<string?> sourceUrl = new("--source-url")
        {
            Description = "Where people see source, for the page to link to: https://git.example/{service}/blob/main/{path:/build/app/}#L{line}, where {path:PREFIX} is what stands behind PREFIX in debug info.",
            HelpName = "TEMPLATE",
        };
        sourceUrl.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } template && ServerSettings.FaultOfSourceUrl(template) is { } fault)
                result.AddError(fault);
        });
        Option<string?> pathPrefix = new("--path-prefix")
        {
            Description = "The path below which a proxy passes requests on without taking it away, such as /perforator.",
            HelpName = "PATH",
        };
        pathPrefix.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string?>() is { } path && (!path.StartsWith('/') || path.Length < 2 || path.EndsWith('/')))
                result.AddError("--path-prefix begins with / and does not end with it, as in /perforator");
        });
        certificate.Validators.Add(result => RequireBoth(result, key, "--tls-key"));
        key.Validators.Add(result => RequireBoth(result, certificate, "--tls-certificate"));
        Command command = new("serve",
            """
            Keeps profiles and binaries and answers pgo requests. Prints its address on stdout once it is ready; ends cleanly on SIGTERM and Ctrl-C.

            Examples:
              perforator serve --data /var/lib/perforator
              perforator serve --demo
              perforator serve --database postgres://perforator@db-1,db-2/perforator --objects 's3://profiles?endpoint=https://s3.internal' --data /var/lib/perforator
              perforator serve --listen https://0.0.0.0:7733 --tls-certificate server.pem --tls-key server.key --auth access.yaml
            """)
        { data, database, objects, role, listen, port, auth, enrol, insecure, host, certificate, key, audit, logFormat, keepUploads, keepSums, compactEvery, sourceRoot, sourceUrl, pathPrefix, demo };
        command.Check(result =>
        {
            foreach (Option option in (Option[])[data, database, objects])
                if (result.GetValue(demo) && result.GetResult(option) is { Implicit: false })
                    result.AddError($"--demo has a folder of its own; leave {option.Name} out");
        });
        command.SetAction((parsed, stop) =>
        {
            Uri address = ServerOption.Parse(parsed.GetValue(listen)!, "--listen");
            if (parsed.GetValue(port) is { } number)
                address = new UriBuilder(address) { Port = number }.Uri;
            bool isDemo = parsed.GetValue(demo);
            string folder = isDemo ? Directory.CreateTempSubdirectory("perforator-demo-").FullName : parsed.GetValue(data) ?? DefaultData();
            ServerSettings settings = new(folder, address)
            {
                PathPrefix = parsed.GetValue(pathPrefix),
                SourceRoot = parsed.GetValue(sourceRoot),
                SourceUrl = parsed.GetValue(sourceUrl),
                Database = parsed.GetValue(database),
                Objects = parsed.GetValue(objects),
                Role = parsed.GetValue(role),
                AccessFile = parsed.GetValue(auth),
                EnrolmentFile = parsed.GetValue(enrol),
                IsInsecure = parsed.GetValue(insecure),
                HostNames = parsed.GetValue(host) ?? [],
                Tls = parsed.GetValue(certificate) is { } pem ? (pem, parsed.GetValue(key)!) : null,
                AuditLog = parsed.GetValue(audit),
                LogFormat = parsed.GetValue(logFormat),
                KeepUploads = TimeSpan.FromDays(parsed.GetValue(keepUploads)),
                KeepSums = TimeSpan.FromDays(parsed.GetValue(keepSums)),
            };
            settings = parsed.GetValue(compactEvery) is not { } seconds ? settings
                : settings with { CompactEvery = TimeSpan.FromSeconds(seconds), CompactAfter = TimeSpan.Zero };
            return isDemo ? RunDemoAsync(settings, stop) : RunAsync(settings, stop);
        });
        return command;
    }

    private static Option<int> Days(string name, int days, string description)
    {
        Option<int> option =
            new(name) { Description = $"{description} Default: {days}.", HelpName = "DAYS", DefaultValueFactory = _ => days };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 36_500)
                result.AddError($"{name} is 1 to 36500 days");
        });
        return option;
    }

    private static void RequireBoth(System.CommandLine.Parsing.OptionResult result, Option other, string name)
    {
        if (result.Parent is System.CommandLine.Parsing.CommandResult command && command.GetResult(other) is null)
            result.AddError($"{result.Option.Name} needs {name} as well");
    }

    private static async Task<int> RunDemoAsync(ServerSettings settings, CancellationToken stop)
    {
        try
        {
            await Server.Demo.DemoStore.FillAsync(settings.DataFolder, stop);
            return await RunAsync(settings, stop);
        }
        finally
        {
            Directory.Delete(settings.DataFolder, recursive: true);
        }
    }

    private static async Task<int> RunAsync(ServerSettings settings, CancellationToken stop)
    {
        await using PerforatorServer server = await PerforatorServer.StartAsync(settings, stop);
        Console.Out.WriteLine(server.Address.GetLeftPart(UriPartial.Authority));
        await server.RunAsync(stop);
        return ExitCodes.Ok;
    }

    private static string DefaultData() =>
        Path.Combine(
            Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify),
            "perforator");
}
