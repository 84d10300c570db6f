using Perforator.Agent.Services;
using Perforator.Recording.Processes;
using Perforator.Tests.Infrastructure;

namespace Perforator.Tests.Agent;

/// <summary>Finding and naming services on hosts made for it: a /proc and the files that each runtime keeps.</summary>
public sealed class ServiceRulesTests : IDisposable
{
    private const string Id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    private const string Uid = "3d5f1f2e-9c0b-4a6e-8c1d-5b0f6a7c8d9e";

    private const string BackupOfCrio =
        """{"annotations":{"io.kubernetes.container.name":"app","io.kubernetes.pod.name":"backup-28912345-k7b2c","io.kubernetes.pod.namespace":"shop"}}""";

    private readonly TemporaryFolder folder = new();
    private readonly HostRoots host;
    private int next = 100;

    public ServiceRulesTests() => host = new(folder["proc"], folder["root"]);

    public void Dispose() => folder.Dispose();

    private void Write(string path, string content)
    {
        string file = folder["root"] + path;
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, content);
    }

    private ProcessDescription Run(
        string cgroup, string executable = "/app/server", string environment = "", string mounts = "",
        params (string Path, string Content)[] own)
    {
        string process = Directory.CreateDirectory(Path.Combine(host.Proc, $"{++next}")).FullName;
        File.CreateSymbolicLink(Path.Combine(process, "exe"), executable);
        File.WriteAllText(Path.Combine(process, "comm"), Path.GetFileName(executable) + "\n");
        File.WriteAllText(Path.Combine(process, "cgroup"), cgroup + "\n");
        File.WriteAllText(Path.Combine(process, "environ"), environment.Replace('|', '\0'));
        File.WriteAllText(Path.Combine(process, "mountinfo"), mounts);
        foreach ((string path, string content) in own)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(process + "/root" + path)!);
            File.WriteAllText(process + "/root" + path, content);
        }
        return Describe(next);
    }

    private int Start(string cgroup, int parent, string arguments)
    {
        _ = Run(cgroup);
        File.WriteAllText(host.Process(next, "stat"), $"{next} (a) S b) S {parent} 1 1 0 -1 4194304 0 0 0 0 1 2 0 0 20 0 1 0 4711 8192 1");
        File.WriteAllText(host.Process(next, "cmdline"), arguments.Replace('|', '\0'));
        return next;
    }

    private ProcessDescription Describe(int id) => ProcessDescription.Of(new ProcessIdentity(id, 1), host, new ContainerNames(host))!;

    private string NameOf(string cgroup) => ServiceRules.DefaultName(Run(cgroup));

    [Theory]
    [InlineData("0::/system.slice/nginx.service", "nginx")]
    [InlineData("1:name=systemd:/system.slice/nginx.service\n0::/", "nginx")]
    [InlineData("0::/system.slice/system-worker.slice/worker@3.service", "worker")]
    [InlineData("0::/user.slice/user-0.slice/user@0.service/app.slice/job.service", "job")]
    [InlineData("0::/user.slice/user-0.slice/session-1.scope", "server")]
    [InlineData("0::/../../system.slice/nginx.service", "nginx")]
    public void A_systemd_unit_names_its_processes_without_their_instance(string cgroup, string name) => Assert.Equal(name, NameOf(cgroup));

    [Theory]
    [InlineData($"0::/system.slice/docker-{Id}.scope")]
    [InlineData($"12:memory:/docker/{Id}\n1:name=systemd:/docker/{Id}\n0::/")]
    [InlineData($"0::/../docker-{Id}.scope")]
    public void A_container_of_Docker_goes_by_its_name_or_its_Compose_service(string cgroup)
    {
        Write($"/var/lib/docker/containers/{Id}/config.v2.json", """{"Name":"/web","Config":{"Image":"registry:5000/team/Search:1.2","Labels":{}}}""");
        Assert.Equal("web", NameOf(cgroup));
        Assert.Equal("search", Run(cgroup).Value("image"));
        Write($"/var/lib/docker/containers/{Id}/config.v2.json",
            """{"Name":"/shop-web-2","Config":{"Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}}}""");
        Assert.Equal("shop-web", NameOf(cgroup));
    }

    [Theory]
    [InlineData($"0::/machine.slice/libpod-{Id}.scope/container")]
    [InlineData($"1:name=systemd:/libpod_parent/libpod-{Id}\n0::/")]
    public void A_container_of_Podman_goes_by_its_name_and_its_watcher_is_none(string cgroup)
    {
        // Of a user without rights: neither its storage nor its runtime's folder is the system's.
        const string Bundle = "/home/ada/.local/share/containers/storage/vfs-containers/0123/userdata";
        int watcher =
            Start($"0::/machine.slice/libpod-conmon-{Id}.scope", 1, $"/usr/bin/conmon|--api-version|1|-c|{Id}|-b|{Bundle}|-n|db|--exit-command-arg|-n|");
        int entry = Start(cgroup, watcher, "/bin/sh|"), worker = Start(cgroup, entry, "/app/server|");
        Assert.Null(Describe(watcher).Container);
        Assert.Equal(["db", "db"], [ServiceRules.DefaultName(Describe(entry)), ServiceRules.DefaultName(Describe(worker))]);
        // What runs in a container is no watcher of it, whatever it calls itself, nor is what watches another.
        Assert.Equal(
            "server", ServiceRules.DefaultName(Describe(Start(cgroup, Start(cgroup, 1, $"/usr/bin/conmon|-c|{Id}|-n|false|"), ""))));
        Assert.Equal(
            "server", ServiceRules.DefaultName(Describe(Start(cgroup, Start("0::/", 1, $"/usr/bin/conmon|-c|{Id[..^1]}|-n|false|"), ""))));
        // CRI-O's.
        Write($"{Bundle}/config.json", BackupOfCrio);
        Assert.Equal("shop.backup.app", ServiceRules.DefaultName(Describe(worker)));
    }

    [Theory]
    [InlineData("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope")]
    [InlineData("0::/kubepods.slice/kubepods-podUID.slice/crio-ID.scope/container")]
    [InlineData("4:memory:/kubepods/besteffort/podUID/ID\n1:name=systemd:/kubepods/besteffort/podUID/ID\n0::/")]
    [InlineData("1:name=systemd:/system.slice/containerd.service/kubepods-besteffort-podUID.slice:cri-containerd:ID")]
    [InlineData("0::/../cri-containerd-ID.scope")]
    public void A_pod_goes_by_namespace_workload_and_container_whatever_tells_them(string form)
    {
        string cgroup =
            form.Replace("UID", form.Contains(".slice", StringComparison.Ordinal) ? Uid.Replace('-', '_') : Uid, StringComparison.Ordinal)
            .Replace("ID", Id, StringComparison.Ordinal);
        Assert.Equal("server", NameOf(cgroup));

        // What a process of the pod sees itself.
        string mounts = $"""
            700 699 0:50 / / rw - overlay overlay rw
            710 701 8:1 /var/lib/kubelet/pods/{Uid}/containers/app/0a1b2c3d /dev/termination-log rw - ext4 /dev/sda1 rw
            """;
        if (!form.Contains("..", StringComparison.Ordinal))
        {
            ProcessDescription inside = Run(cgroup, mounts: mounts, own:
                [("/etc/hostname", "checkout-7f8c65c6cd-x2x4z\n"), ("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop")]);
            Assert.Equal("shop.checkout.app", ServiceRules.DefaultName(inside));
        }

        // The runtime's bundle, of containerd and of CRI-O; then the kubelet's logs.
        Write($"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{Id}/config.json",
            """{"annotations":{"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"ledger-0","io.kubernetes.cri.sandbox-namespace":"shop"}}""");
        Assert.Equal("shop.ledger.app", NameOf(cgroup));
        Directory.Delete(host.Files, recursive: true);
        Write($"/run/containers/storage/overlay-containers/{Id}/userdata/config.json", BackupOfCrio);
        Assert.Equal("shop.backup.app", NameOf(cgroup));
        Directory.Delete(host.Files, recursive: true);
        Write($"/var/log/containers/node-exporter-9xk2p_monitoring_exporter-{Id}.log", "");
        Assert.Equal("monitoring.node-exporter.exporter", NameOf(cgroup));
    }

    [Theory]
    [InlineData("checkout-7f8c65c6cd-x2x4z", "checkout", true)]
    [InlineData("my-app-67d4bdd6f5-2b9zp", "my-app", true)]
    [InlineData("postgres-0", "postgres", false)]
    [InlineData("node-exporter-9xk2p", "node-exporter", false)]
    [InlineData("backup-28912345-k7b2c", "backup", false)]
    [InlineData("by-hand", "by-hand", false)]
    public void A_pods_name_tells_its_workload(string pod, string workload, bool isDeployment) =>
        Assert.Equal(new PodName(workload, isDeployment), PodName.Parse(pod));

    [Fact]
    public void Rules_of_a_file_name_ignore_and_label()
    {
        string file = folder.Write("services.yaml", """
            labels: { cluster: eu-1 }
            services:
              - name: "{k8s.namespace}.{k8s.deployment}"
                match: { k8s.namespace: "shop*" }
              - name: "{env.TEAM}-{exe}"
                match: { exe: [/opt/*, cron] }
              - ignore: true
                match: { unit: "ssh*" }
            """);
        List<string> said = [];
        ServiceRules rules = ServiceRulesFile.Load(file, said.Add);
        Assert.Empty(said);
        Assert.Equal("eu-1", rules.Labels["cluster"]);
        Assert.Equal("ads-bidder", rules.ServiceOf(Run("0::/", "/opt/bidder", "PATH=/bin|TEAM=ads|X=1")));
        // A rule that lacks a part does not apply.
        Assert.Equal("bidder", rules.ServiceOf(Run("0::/", "/opt/bidder")));
        Assert.Null(rules.ServiceOf(Run("0::/system.slice/ssh.service")));
        Assert.Equal("declared", rules.ServiceOf(Run("0::/", environment: "PERFORATOR_SERVICE=declared")));
        Write($"/var/log/containers/checkout-7f8c65c6cd-x2x4z_shop-eu_app-{Id}.log", "");
        Assert.Equal("shop-eu.checkout", rules.ServiceOf(Run($"0::/kubepods/pod{Uid}/{Id}")));
        Assert.Null((rules with { RecordsOthers = false }).ServiceOf(Run("0::/")));
    }

    [Theory]
    [InlineData("services: ]", 1, "")]
    [InlineData("services:\n- name: a\n  mach: { exe: a }", 3, "no key 'mach'")]
    [InlineData("services:\n- match: { exe: a }", 2, "either a name or ignore")]
    [InlineData("servces: []", 1, "no key 'servces'")]
    [InlineData("labels: {}\nothers: maybe", 2, "others is record or ignore")]
    [InlineData("services: text", 1, "services is a list")]
    [InlineData("", 1, "give the keys")]
    public void A_file_that_makes_no_sense_is_refused_with_line_and_key(string yaml, int line, string problem)
    {
        string file = folder.Write("bad.yaml", yaml);
        UserErrorException error = Assert.Throws<UserErrorException>(() => ServiceRulesFile.Load(file, static _ => { }));
        Assert.StartsWith($"{file}, line {line}: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(problem, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("- { name: '{k8s.deploy}', match: { exe: a } }", "no variable {k8s.deploy}")]
    [InlineData("- { name: 'a b', match: { exe: a } }", "'a b' cannot be in a service's name")]
    [InlineData("- { name: a, match: { executable: a } }", "no variable executable")]
    [InlineData("- { name: '.x' }", "cannot name a service")]
    public void A_rule_that_can_name_nothing_is_left_out_and_the_rest_holds(string rule, string problem)
    {
        string file = folder.Write("part.yaml", $"labels: {{ 'a b': c, x: y }}\nservices:\n{rule}\n- name: kept");
        List<string> said = [];
        ServiceRules rules = ServiceRulesFile.Load(file, said.Add);
        Assert.Equal("kept", Assert.Single(rules.FixedNames));
        Assert.Equal(["x"], rules.Labels.Keys);
        Assert.Equal($"{file}, line 1: labels: 'a b' cannot name a label; it is left out", said[0]);
        Assert.StartsWith($"{file}, line 3: services: ", said[1], StringComparison.Ordinal);
        Assert.Contains(problem, said[1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_tells_kernel_region_and_cluster()
    {
        Directory.CreateDirectory(folder["proc/sys/kernel"]);
        File.WriteAllText(folder["proc/sys/kernel/osrelease"], "6.1.0-9-amd64\n");
        Assert.Equal(["kernel"], HostLabels.Of(host).Keys);
        Write("/run/cloud-init/instance-data.json",
            """{"v1":{"region":"eu-west-1","cloud_name":"aws"},"ds":{"meta_data":{"tags":{"instance":{"kubernetes.io/cluster/prod-eu":"owned"}}}}}""");
        Assert.Equal(
            [("cluster", "prod-eu"), ("kernel", "6.1.0-9-amd64"), ("region", "eu-west-1")],
            HostLabels.Of(host).Select(static l => (l.Key, l.Value)));
        Write("/run/cloud-init/instance-data.json", "{ damaged");
        Assert.Equal(["kernel"], HostLabels.Of(host).Keys);
    }
}
