# Runs as root on the booted host: a server and an agent are started as an administrator would, a program of another user is busy.
set -u
wait_for() { for _ in $(seq 300); do "$@" && return; sleep 0.1; done; echo "trial: not so within 30 s: $*" >&2; }
listed() { curl -sf http://127.0.0.1:7733/api/v1/services/busy >/results/service; }
systemctl is-enabled perforator-server perforator-agent perforator-agent-hardware >/results/enabled
systemctl is-active perforator-server perforator-agent perforator-agent-hardware >/results/active
cp /results/busy /usr/local/bin/busy
systemd-run --quiet --unit=busy --uid=nobody /usr/local/bin/busy

systemctl start perforator-server
wait_for curl -sf -o /results/health http://127.0.0.1:7733/health
stat -Lc '%U %a' /var/lib/perforator >/results/data
# The first upload comes at a random moment of one interval, which is a minute by default.
echo 'PERFORATOR_AGENT_OPTIONS=--interval 5s' >>/etc/perforator/agent.env
systemctl start perforator-agent
wait_for listed
grep '^CapPrm' "/proc/$(systemctl show -P MainPID perforator-agent)/status" >/results/capabilities

# A later version takes this one's place: what ran goes on, and settings stay.
dpkg-deb --raw-extract /perforator.deb /next
sed -i 's/^Version: .*/&.next/' /next/DEBIAN/control
dpkg-deb -Znone --build /next /next.deb >/dev/null
before=$(systemctl show -P MainPID perforator-agent)
dpkg --no-triggers --force-unsafe-io --install /next.deb >/results/upgrade 2>&1
[ "$before" = "$(systemctl show -P MainPID perforator-agent)" ] && echo "trial: the agent was not started anew" >&2
systemctl is-active perforator-server perforator-agent perforator-agent-hardware >/results/active-upgraded
grep '^PERFORATOR_AGENT_OPTIONS=-' /etc/perforator/agent.env >/results/settings

systemctl stop perforator-agent perforator-server
for unit in perforator-agent perforator-server; do systemctl show -P Result $unit; done >/results/ends
journalctl --no-pager -u perforator-agent -u perforator-server >/results/journal

# Removed while it runs, it ends and leaves settings; purged, it leaves what the server has collected and no more.
systemctl enable --quiet --now perforator-agent 2>/dev/null
dpkg --no-triggers --remove perforator >/results/removal 2>&1
{ systemctl is-active perforator-agent; systemctl is-enabled perforator-agent 2>/dev/null; ls /etc/perforator; } >/results/removed
dpkg --no-triggers --purge perforator >/results/purge 2>&1
ls -d /etc/perforator /usr/lib/perforator /usr/bin/perforator /var/lib/perforator-agent /var/lib/private/perforator* >/results/left 2>/dev/null
