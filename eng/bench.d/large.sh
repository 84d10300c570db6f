#!/usr/bin/env bash
# Builds the large C++ program of the benchmarks: many files of templates, virtual calls, switches and inlined helpers; every function differs.
# Usage: eng/bench.d/large.sh OUTPUT
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath "$1")
mkdir -p "$out.build" && cd "$out.build"
for part in $(seq 8); do
  awk -v part="$part" -f "$here/large.awk" >"part$part.cpp"
done
{ for part in $(seq 8); do echo "long part$part(long, int);"; done
  echo 'int main(int argc, char **argv) { long t = argc;'
  for part in $(seq 8); do echo "  t = part$part(t, argc);"; done
  echo '  return (int)t; }'; } >main.cpp
ls ./*.cpp | xargs -P "$(nproc)" -I{} clang++-19 -O2 -g -fdebug-info-for-profiling -c {} -o {}.o
clang++-19 -fuse-ld=lld-19 ./*.o -o "$out"
