using System.Diagnostics;

namespace Perforator.Tests.Infrastructure;

/// <summary>A PostgreSQL of its own for tests that end it: a primary, and a standby that has all that is acknowledged.</summary>
internal sealed class PostgresPair : IDisposable
{
    private static readonly string Programs =
        Directory.GetDirectories("/usr/lib/postgresql").Order(StringComparer.Ordinal).Last() + "/bin/";

    private readonly TemporaryFolder folder = new();
    private readonly Process?[] processes = new Process?[2];

    public PostgresPair()
    {
        Ports = [Tool.FreePort(), Tool.FreePort()];
        Run("initdb", ["-D", folder["0"], "-U", "perforator", "-A", "trust", "-N", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"]);
        Start(0);
        Run("pg_basebackup", ["-h", "127.0.0.1", "-p", $"{Ports[0]}", "-U", "perforator", "-D", folder["1"], "-R", "-c", "fast", "-N"]);
        Start(1);
        Sql(0, "ALTER SYSTEM SET synchronous_standby_names = '*'");
        Sql(0, "SELECT pg_reload_conf()");
    }

    public int[] Ports { get; }

    /// <summary>The address of both.</summary>
    public string Url => $"postgres://perforator@127.0.0.1:{Ports[0]},127.0.0.1:{Ports[1]}/postgres";

    /// <summary>Starts one, and waits until it answers.</summary>
    public void Start(int which)
    {
        processes[which] = Process.Start(new ProcessStartInfo("setsid", [.. AsUser(), Programs + "postgres", "-D", folder[$"{which}"], "-c",
            $"port={Ports[which]}",
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "hot_standby=on", "-c", "shared_buffers=16MB"])
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        });
        Assert.True(
            SpinWait.SpinUntil(
                () => Tool.Run(Programs + "pg_isready", ["-h", "127.0.0.1", "-p", $"{Ports[which]}"]).ExitCode == 0,
                TimeSpan.FromSeconds(60)),
            "PostgreSQL did not start");
    }

    /// <summary>kill -9 of one with all its processes.</summary>
    public void Kill(int which)
    {
        // setsid made it the leader of a session; where it had to fork for that, of its child's.
        processes[which]!.Kill(entireProcessTree: true);
        processes[which]!.WaitForExit();
        processes[which]!.Dispose();
        processes[which] = null;
    }

    /// <summary>Makes the standby the one that takes writes.</summary>
    public void Promote() => Sql(1, "SELECT pg_promote()");

    private void Sql(int which, string sql) =>
        Tool.Run("psql", [$"postgres://perforator@127.0.0.1:{Ports[which]}/postgres", "-q", "-c", sql]).Succeeded();

    private static void Run(string program, string[] arguments)
    {
        string[] all = [.. AsUser(), Programs + program, .. arguments];
        Tool.Run(all[0], all[1..]).Succeeded();
    }

    /// <summary>PostgreSQL refuses to run as root.</summary>
    private static string[] AsUser() =>
        Environment.UserName == "root" ? ["unshare", "--user", "--map-user=1000", "--map-group=1000"] : ["env"];

    public void Dispose()
    {
        for (int which = 0; which < processes.Length; which++)
            if (processes[which] is not null)
                Kill(which);
        folder.Dispose();
    }
}
