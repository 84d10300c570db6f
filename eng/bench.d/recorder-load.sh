# Sourced by eng/bench.d/recorder: the recorder beside what hosts run that is no benchmark of one program.
load_steps=(short idle throng new redis)

# load STEP…: one line of results for each.
load() {
  local step
  for name in oddities dangers; do clang-19 -O1 -g -pthread -Wl,--build-id=sha1 "$root/testdata/recording/$name.c" -o "$bench/$name"; done
  # An input that does not end.
  [ -p "$bench/input" ] || mkfifo "$bench/input"
  exec 5<>"$bench/input"
  for step in "$@"; do
    echo "eng/bench: load, $step" >&2
    "load_$step"
  done
}
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# The same work in one process and in many, one after another: what is counted of the program's own code, of that of one process.
load_short() {
  local of each many counts one round
  counted() { # counted PROCESSES ROUNDS
    "$PERFORATOR_CLI" record --source software --max-overhead 100% -o "$bench/short.branches" -- "$bench/oddities" many "$1" "$2" </dev/null 2>&1 >/dev/null \
      | awk -v name="$bench/oddities" '$4 == name || $3 == name { gsub(",", ""); for (i = 1; i <= NF; i++) if ($i ~ /^[0-9]+$/) { print $i; exit } }'
  }
  for of in "200 20" "800 5"; do
    read -r many each <<<"$of"
    # Rounds of one process that take so many milliseconds of user time here.
    local thousand rounds
    thousand=$(user_time "$bench/oddities" many 1 20000 </dev/null)
    rounds=$(awk -v t="$thousand" -v ms="$each" 'BEGIN { printf "%d", 20000 * ms / 1000 / t }')
    counts=""
    for round in 1 2 3; do
      one=$(counted 1 $((many * rounds)))
      counts+="$(counted "$many" "$rounds") $one"$'\n'
    done
    awk -v n="$many" -v ms="$each" 'NF == 2 { s += $1 / $2; q += ($1 / $2) ^ 2; k++; l = l sprintf(" %.3f", $1 / $2) }
      END { printf "%s processes of %s ms user time, one after another: counted %.3f of one with the same work (%s )\n", n, ms, s / k, l }' <<<"$counts"
  done
}

# What the recorder takes of a core beside threads that sleep, next to one that does.
load_idle() {
  local threads target recorder before after
  for threads in 1 5000; do
    "$bench/oddities" idle "$threads" <"$bench/input" >/dev/null &
    target=$!
    sleep 1
    "$PERFORATOR_CLI" record --source software -p "$target" --duration 26 -o "$bench/idle.branches" >/dev/null 2>&1 &
    recorder=$!
    sleep 5
    before=$(ticks "$recorder"); sleep 20; after=$(ticks "$recorder")
    wait "$recorder" || true
    kill "$target"; wait "$target" || true
    awk -v n="$threads" -v t=$((after - before)) 'BEGIN { printf "%s sleeping threads: the recorder takes %.2f %% of a core\n", n, t / 20 }'
  done
}

# Sixty busy threads, and one, for twenty seconds at the default.
load_throng() {
  local mode target report before after
  for mode in throng patches; do
    "$bench/dangers" "$mode" <"$bench/input" >/dev/null &
    target=$!
    sleep 1
    before=$(awk '{ print $14 }' "/proc/$target/stat")
    report=$("$PERFORATOR_CLI" record --source software -p "$target" --duration 20 -o "$bench/throng.branches" 2>&1 >/dev/null)
    after=$(awk '{ print $14 }' "/proc/$target/stat")
    kill "$target"; wait "$target" || true
    awk -v m="$mode" -v t=$(((after - before))) '/ branch stacks, .* moments; threads held/ { gsub(",", ""); b = $6; n = $9; s = $15 }
      END { printf "%s: %d branches at %d moments in %.1f s of user time, %d a second; held for %.1f %% of it\n", m == "throng" ? "60 busy threads" : "one busy thread", b, n, t / 100, 100 * b / t, 10000 * s / t }' <<<"${report//$'\r'/$'\n'}"
  done
}

# Eight new programs a second for three minutes, of 0.1 s user time each, under the agent: whether each is recorded, and how many files it has open.
load_new() {
  local folder="$bench/new" programs=1440 agent most=0 open i took recorded
  rm -rf "$folder" && mkdir -p "$folder"
  clang-19 -O1 -pthread -Wl,--build-id=0x00112233445566778899aabbccddeeff00000000 "$root/testdata/recording/oddities.c" -o "$folder/new"
  # Rounds of 0.1 s of user time here.
  local rounds
  rounds=$(awk -v t="$(user_time "$folder/new" once 20000)" 'BEGIN { printf "%d", 2000 / t }')
  for i in $(seq $programs); do
    perl -0777 -pe "s/(\\xee\\xff)\\0{4}/\$1 . pack('N', $i)/e" "$folder/new" >"$folder/program$i"
    chmod +x "$folder/program$i"
  done
  "$PERFORATOR_CLI" agent --once --interval 190s --source software --cpu-budget "${budget:-1%}" --json >"$folder/seen.json" 2>"$folder/agent.log" &
  agent=$!
  sleep 4
  local begin=$EPOCHREALTIME
  for i in $(seq $programs); do
    "$folder/program$i" once "$rounds"
    if [ $((i % 8)) = 0 ]; then
      open=$(ls "/proc/$agent/fd" | wc -l)
      [ "$open" -le "$most" ] || most=$open
      sleep "$(awk -v i="$i" -v b="$begin" -v n="$EPOCHREALTIME" 'BEGIN { s = i / 8 - (n - b); print (s > 0 ? s : 0) }')"
    fi
  done
  wait "$agent" || true
  took=$(awk -v b="$begin" -v n="$EPOCHREALTIME" 'BEGIN { printf "%d", n - b }')
  recorded=$(grep -o '"service": "program[0-9]*"' "$folder/seen.json" | sort -u | wc -l)
  echo "$programs new programs in $took s: $recorded recorded; at most $most files open"
  rm -f "$folder"/program*
}

# redis at full load of both CPUs: commands a second while it is recorded at the default, of those while the recorder pauses, in turns of half a second.
load_redis() {
  variant redis baseline "${flags[@]}"
  local socket="$bench/load.sock" server client recorder turn now commands state before=0 last=0 pairs=${pairs:-60}
  "$binary" --port 0 --unixsocket "$socket" --save "" --appendonly no >/dev/null &
  server=$!
  sleep 1
  "$bench/redis-benchmark" -s "$socket" -q -c 20 -P 16 -r 100000 -n 1000000 -l -t set >/dev/null 2>&1 &
  client=$!
  "$PERFORATOR_CLI" record --source software -p "$server" -o "$bench/load.branches" >/dev/null 2>"$bench/load.log" &
  recorder=$!
  sleep 5
  rm -f "$bench/load.turns"
  commands() { "$bench/redis-cli" -s "$socket" info stats | awk -F: '/^total_commands_processed/ { print $2 + 0 }'; }
  for turn in $(seq $((2 * pairs))); do
    # on, off, off, on: what drifts does so for both.
    case $((turn % 4)) in 1 | 0) state=on; kill -CONT "$recorder" ;; *) state=off; kill -TSTP "$recorder" ;; esac
    sleep 0.1
    last=$(commands) now=$EPOCHREALTIME before=$(awk '{ print $14 }' "/proc/$server/stat")
    sleep 0.5
    echo "$state $(($(commands) - last)) $now $EPOCHREALTIME $(($(awk '{ print $14 }' "/proc/$server/stat") - before))" >>"$bench/load.turns"
  done
  kill -CONT "$recorder"; kill -TERM "$recorder"; wait "$recorder" || true
  kill "$client" "$server"; wait "$client" "$server" || true
  awk 'NR % 2 { r = $2 / ($4 - $3); s = $1; next } { q = $2 / ($4 - $3); print s == "on" ? r / q : q / r }' "$bench/load.turns" | sort -n \
    | awk -v b="$(tr '\r' '\n' <"$bench/load.log" | sed -n 's/.*branch stacks, \([0-9,]*\) branches at \([0-9,]*\) moments.*/\1 branches at \2 moments/p')" \
      '{ v[NR] = $1; s += $1; q += $1 * $1 } END { m = s / NR; e = sqrt((q / NR - m * m) / NR); printf "redis, both CPUs busy: throughput %.3f of that without a recorder (median of %d pairs; mean %.3f ± %.3f); %s\n", v[int((NR + 1) / 2)], NR, m, e, b }'
}
