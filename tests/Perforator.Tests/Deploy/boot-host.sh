#!/usr/bin/env bash
# Boots systemd in a container over this machine's own files, with the package installed in it: boot-host.sh DEB TRIAL RESULTS
# The script TRIAL runs in there as a unit, finds the folder RESULTS as /results and ends the container by its end. What is written
# there is in memory alone, and mounts go with the mount namespace.
set -euo pipefail
[ -n "${in_namespace:-}" ] || in_namespace=yes exec unshare --mount --propagation private bash "$0" "$@"
package=$1 trial=$2 results=$3
space=$(mktemp -d)
trap 'umount -R "$space"; rmdir "$space"' EXIT
mount -t tmpfs -o size=2g tmpfs "$space"
mkdir "$space/upper" "$space/work" "$space/root"
mount -t overlay -o "lowerdir=/,upperdir=$space/upper,workdir=$space/work" overlay "$space/root"
mknod -m 666 "$space/root/dev/null" c 1 3
cp "$package" "$space/root/perforator.deb"
cp "$trial" "$space/root/trial"
chroot "$space/root" dpkg --no-triggers --install --force-confnew /perforator.deb
# The man pages, the executable and every setting of the units are looked at where the package put them.
chroot "$space/root" systemd-analyze verify /lib/systemd/system/perforator-{server,agent,agent-hardware}.service >"$results/verify" 2>&1 || echo "exit code $?" >>"$results/verify"
cat >"$space/root/etc/systemd/system/trial.service" <<UNIT
[Unit]
After=basic.target
Requires=basic.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash /trial
StandardOutput=file:/results/output
StandardError=file:/results/error
TimeoutStartSec=100
UNIT
timeout --kill-after=10 150 systemd-nspawn --quiet --boot --register=no --keep-unit --private-network --capability=all --system-call-filter="perf_event_open ptrace" --directory="$space/root" \
  --bind="$results:/results" --console=pipe systemd.unit=trial.service systemd.log_target=console </dev/null >"$results/console" 2>&1 || true
