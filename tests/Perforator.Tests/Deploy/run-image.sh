#!/usr/bin/env bash
# Builds the image over a base of this machine's own Debian packages, with buildah alone and no network, and runs a trial in it:
# run-image.sh CONTAINERFILE PUBLISHED SPACE. SPACE is a folder for all of it, in which trial/run is what runs in the image.
set -euo pipefail
[ -n "${in_namespace:-}" ] || in_namespace=yes exec unshare --mount --propagation private --net bash "$0" "$@"
ip link set lo up
containerfile=$1 published=$2 space=$3
builder=(buildah --root "$space/root" --runroot "$space/run")
mkdir "$space/base"
dpkg-query --listfiles base-files bash ca-certificates coreutils dash grep libacl1 libattr1 libblkid1 libc6 libc-bin libcap-ng0 libgcc-s1 libgmp10 libmount1 \
  libpcre2-8-0 libselinux1 libssl3 libstdc++6 libtinfo6 mount util-linux zlib1g | sed -E "s,^/(bin|sbin|lib|lib64)/,/usr&," | grep -v ^/usr/share/ | sort -u \
  | tar --create --no-recursion --ignore-failed-read --files-from=- 2>/dev/null | tar --extract --directory "$space/base"
cp -a /etc/ssl/certs "$space/base/etc/ssl/"
base=$("${builder[@]}" from scratch)
"${builder[@]}" add --quiet "$base" "$space/base" / >/dev/null
"${builder[@]}" commit --quiet "$base" localhost/base >/dev/null
"${builder[@]}" bud --quiet --isolation chroot --format docker --build-arg BASE=localhost/base --tag localhost/perforator --file "$containerfile" "$published" >/dev/null
"${builder[@]}" inspect --type image localhost/perforator >"$space/config"
container=$("${builder[@]}" from localhost/perforator)
# As Kubernetes runs it: a user without a name, a root that is read-only, memory for data and /tmp.
"${builder[@]}" run --isolation chroot --user 0 --cap-add CAP_SYS_ADMIN --volume "$space/trial:/trial" "$container" -- bash -c '
  mount -t tmpfs -o mode=1777 tmpfs /tmp && mount -t tmpfs -o mode=1777 tmpfs /var/lib/perforator && mount -o remount,ro,bind / \
    && exec setpriv --reuid 12345 --regid 12345 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs bash /trial/run'
