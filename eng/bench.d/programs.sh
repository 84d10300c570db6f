# Sourced by eng/bench gain and recorder: programs from Debian's sources and the sample, how each is built, and what gain has it do. "$bench" is the
# bench's folder. build_NAME COMPILER OUTPUT FLAG…, run_NAME BINARY [RECORDER…]: some seconds of work, under a recorder if one is given.
source "$(dirname "${BASH_SOURCE[0]}")/sources.sh"
cxx_of() { case $1 in clang-*) echo "clang++${1#clang}" ;; gcc*) echo "g++${1#gcc}" ;; esac; }

# build PROGRAM COMPILER OUTPUT FLAG…: at one place for each program, as compilers know counts by the paths of objects.
build() {
  echo "eng/bench: building $(basename "$3")" >&2
  local place="$bench/$1.objects"
  rm -rf "$place" && mkdir -p "$place"
  "build_$1" "${@:2}" -w >"$3.log" 2>&1 || { tail -n 20 "$3.log" >&2; exit 1; }
  rm -rf "$place"
}
# text BYTES: sets $text, a file of so many: SQLite's source, over and over with changes.
text() {
  text="$bench/text.$1"
  [ ! -e "$text" ] || return 0
  fetch sqlite3
  { for i in $(seq 50); do cat "$sources"/sqlite3/src/*.c | sed "s/e/$i/3"; done || true; } 2>/dev/null | head -c "$1" >"$text"
}

build_lua() {
  fetch lua5.4
  (cd "$place" && "$1" "${@:3}" -DLUA_USE_POSIX $(ls "$sources"/lua5.4/src/*.c | grep -v /luac.c) -o program -lm) && cp "$place/program" "$2"
}
run_lua() { "${@:2}" "$1" "$root/eng/bench.d/work.lua" 24; }

build_speedtest1() {
  fetch sqlite3
  [ -e "$bench/sqlite/sqlite3.c" ] || (mkdir -p "$bench/sqlite" && cd "$bench/sqlite" && "$sources/sqlite3/configure" --disable-tcl && make sqlite3.c) >/dev/null 2>&1
  (cd "$place" && "$1" "${@:3}" -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -I"$bench/sqlite" "$bench/sqlite/sqlite3.c" "$sources/sqlite3/test/speedtest1.c" \
    -o program -lm) && cp "$place/program" "$2"
}
run_speedtest1() { "${@:2}" "$1" --size 100 :memory:; }

build_zstd() {
  fetch libzstd
  (cd "$place" && "$1" "${@:3}" -DZSTD_DISABLE_ASM -DZSTD_MULTITHREAD "$sources"/libzstd/{programs,lib/common,lib/compress,lib/decompress,lib/dictBuilder}/*.c \
    -o program -pthread) && cp "$place/program" "$2"
}
run_zstd() {
  local text
  text 50000000
  "${@:2}" "$1" -9 -T1 -c "$text"
}

build_lzip() { # of eng/bench recorder alone
  fetch lzip
  (cd "$place" && "$(cxx_of "$1")" "${@:3}" -DPROGVERSION='"bench"' "$sources"/lzip/*.cc -o program) && cp "$place/program" "$2"
}

build_logquery() {
  make -s -C "$root/samples/logquery" -j"$(nproc)" CXX="$(cxx_of "$1")" CXXFLAGS="${*:3}" OUT="$place/objects" && cp "$place/objects/logquery" "$2"
}
run_logquery() { "${@:2}" "$1" --load 300; }

build_redis() {
  fetch redis
  cp -r "$sources/redis" "$place/tree"
  make -s -C "$place/tree/src" -j"$(nproc)" MALLOC=libc CC="$1" OPTIMIZATION= DEBUG= OPT="${*:3}" CFLAGS="${*:3}" LDFLAGS="${*:3}" redis-server redis-benchmark redis-cli || return
  cp "$place/tree/src/redis-server" "$2"
  [ -e "$bench/redis-benchmark" ] || cp "$place/tree/src/redis-benchmark" "$place/tree/src/redis-cli" "$bench/"
}
# A network server is driven by clients of its own (20 at once, 16 requests deep), which end it when they have done and are neither recorded nor timed.
run_redis() {
  local socket="/tmp/perforator-bench-redis.$$.$(basename "$1")"
  # A grandchild: its CPU time is nobody's here.
  ( (
    until [ -S "$socket" ] && "$bench/redis-cli" -s "$socket" ping; do sleep 0.05; done
    "$bench/redis-benchmark" -s "$socket" -q -c 20 -P 16 -r 100000 -n 200000 -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset
    "$bench/redis-cli" -s "$socket" shutdown nosave
  ) >/dev/null 2>&1 & )
  "${@:2}" "$1" --port 0 --unixsocket "$socket" --save "" --appendonly no
}

# The whole of PostgreSQL once, for initdb and what it needs; of other builds only the server.
build_postgres() {
  fetch postgresql-15
  mkdir -p "$place/tree"
  (
    cd "$place/tree"
    CC="$1" CFLAGS="${*:3}" "$sources/postgresql-15/configure" --prefix="$bench/pgsql" --without-readline --without-zlib -q
    if [ -x "$bench/pgsql/bin/initdb" ]; then
      make -s -C src/backend MAKELEVEL=0 generated-headers && make -s -j"$(nproc)" -C src/backend
    else
      make -s -j"$(nproc)" && make -s install
    fi
  ) && cp "$place/tree/src/backend/postgres" "$2"
}
# PostgreSQL refuses to run as root.
as_user=()
[ "$(id -u)" != 0 ] || as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
run_postgres() {
  local home=/tmp/perforator-bench-postgres statements="$bench/statements.sql"
  [ -e "$statements" ] || awk -v n=40000 -f "$root/eng/bench.d/statements.awk" >"$statements"
  if [ ! -e "$home/fresh" ]; then
    mkdir -p "$home" && cp -r "$bench/pgsql/." "$home/"
    [ "$(id -u)" != 0 ] || chown -R 65534 "$home"
    "${as_user[@]}" "$home/bin/initdb" -D "$home/fresh" -U postgres --locale=C --no-sync >/dev/null
  fi
  # A server's builds run side by side: each has data of its own.
  local name data
  name=$(basename "$1") && data="$home/data.$name"
  rm -rf "$data" && cp -a "$home/fresh" "$data" && cp "$1" "$home/bin/$name"
  "${@:2}" "${as_user[@]}" "$home/bin/$name" --single -D "$data" -c fsync=off -c synchronous_commit=off postgres <"$statements"
  rm -rf "$data" "$home/bin/$name"
}
