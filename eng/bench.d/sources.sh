# Sourced by benchmarks that build real programs from Debian's source packages; "$sources" is where they are kept.
sources="$root/artifacts/bench/sources"
mkdir -p "$sources"

# Fetches and unpacks a Debian source package with a package list of our own; nothing of the system's apt is touched.
fetch() {
  [ -e "$sources/$1" ] && return
  local apt="$sources/apt"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  cat >"$apt/apt.conf" <<CONF
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
CONF
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main" >"$apt/sources.list"
  [ -n "$(ls "$apt/lists"/*Sources* 2>/dev/null)" ] || APT_CONFIG="$apt/apt.conf" apt-get update -qq
  mkdir -p "$sources/$1.part"
  (cd "$sources/$1.part" && APT_CONFIG="$apt/apt.conf" apt-get source -qq --download-only "$1" && find . -maxdepth 1 -name "*.orig.tar.*" ! -name "*.asc" -exec tar xf {} --strip-components=1 \;)
  mv "$sources/$1.part" "$sources/$1"
}
