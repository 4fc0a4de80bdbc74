#!/usr/bin/env bash
# gogate's suite in one command: wrk against the origin directly, then through coregate, and through nginx and
# HAProxy where they are installed. Prints one table. See README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

threads=30 connections=600 duration=30 scenario=get rounds=1 build=1 only=

usage() {
    cat <<END
usage: wrk-scripts/run.sh [--threads N] [--connections N] [--duration SECONDS] [--scenario NAME] [--rounds N]
                          [--only NAME,NAME] [--no-build]
  --threads N       threads of wrk (30)
  --connections N   connections of wrk (600)
  --duration S      seconds of each run (30)
  --scenario NAME   $(cd "$here/scenarios" && printf '%s ' *.lua | sed 's/\.lua//g')(get)
  --rounds N        interleaved runs of each; the table shows the median by throughput (1)
  --only LIST       which of direct,coregate,nginx,haproxy
  --no-build        take target/release as it is
END
}

while [ $# -gt 0 ]; do
    case $1 in
    --threads) threads=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --duration) duration=${2%s}; shift 2 ;;
    --scenario) scenario=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --no-build) build=; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done
lua=$here/scenarios/$scenario.lua
[ -f "$lua" ] || { echo "no scenario $scenario" >&2; usage >&2; exit 2; }
PATH="$PATH:/usr/sbin:/sbin"
command -v wrk >/dev/null || { echo "wrk is not installed (Debian: apt-get install wrk)" >&2; exit 1; }

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# With two CPUs or more the gateway has the first one for itself; wrk and the origin share the others.
cpus=$(nproc)
if command -v taskset >/dev/null && [ "$cpus" -ge 2 ]; then
    on_gateway_cpu=(taskset -c 0) on_load_cpus=(taskset -c "1-$((cpus - 1))")
    workers=1 pinning="gateway on CPU 0, wrk and origin on CPU 1-$((cpus - 1))"
else
    on_gateway_cpu=() on_load_cpus=()
    workers=$cpus pinning="not pinned, $cpus CPU(s)"
fi

# start NAME COMMAND...: in the background, in its own folder, ended when this script ends.
start() {
    local name=$1
    shift
    mkdir -p "$work/$name"
    (cd "$work/$name" && exec "$@" >log 2>&1) &
    pids+=($!)
}

# await NAME URL: until it answers, 10 seconds at most.
await() {
    local deadline=$((SECONDS + 10))
    until curl -sf -o /dev/null --max-time 1 "$2"; do
        if [ $SECONDS -ge $deadline ]; then
            echo "$1 does not answer $2:" >&2
            tail -n 20 "$work/$1/log" >&2
            return 1
        fi
        read -rt 0.1 <> <(:) || true
    done
}

wanted() { [ -z "$only" ] || [[ ,$only, == *,$1,* ]]; }

start_all() {
    if [ -n "$build" ]; then (cd "$root" && cargo build --release --workspace --bins); fi
    local bin=${CARGO_TARGET_DIR:-$root/target}/release
    # The origin of bench/ is the faster one and has large answers; the one built into coregate does for the rest.
    local origin=("$bin/coregate-origin")
    [ -x "${origin[0]}" ] || origin=("$bin/coregate" origin)
    origin+=(--listen 127.0.0.1:2003)
    [ "$scenario" != large ] || origin+=(--bytes 65536)
    start origin "${on_load_cpus[@]}" "${origin[@]}"
    await origin http://127.0.0.1:2003/test
    names=(direct) urls=(http://127.0.0.1:2003/test)
    wanted direct || names=() urls=()
    if wanted coregate; then
        start coregate "${on_gateway_cpu[@]}" "$bin/coregate" --config "$here/peers/coregate.toml"
        names+=(coregate) urls+=(http://127.0.0.1:8090/test_http_1/test)
    fi
    if wanted nginx && command -v nginx >/dev/null; then
        mkdir -p "$work/nginx"
        sed "s/WORKERS/$workers/" "$here/peers/nginx.conf" >"$work/nginx/nginx.conf"
        start nginx "${on_gateway_cpu[@]}" nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" -e error.log
        names+=(nginx) urls+=(http://127.0.0.1:8091/test_http_1/test)
    fi
    if wanted haproxy && command -v haproxy >/dev/null; then
        mkdir -p "$work/haproxy"
        sed "s/WORKERS/$workers/" "$here/peers/haproxy.cfg" >"$work/haproxy/haproxy.cfg"
        start haproxy "${on_gateway_cpu[@]}" haproxy -f "$work/haproxy/haproxy.cfg"
        names+=(haproxy) urls+=(http://127.0.0.1:8092/test_http_1/test)
    fi
    local n
    for n in "${!names[@]}"; do [ "${names[n]}" = direct ] || await "${names[n]}" "${urls[n]}"; done
}

# run_wrk SECONDS URL
run_wrk() {
    "${on_load_cpus[@]}" wrk -t"$threads" -c"$connections" -d"$1s" --latency -s "$lua" "$2"
}

# One line of numbers from what wrk printed: throughput, then mean, p50, p75, p90, p99 in milliseconds, then errors.
numbers() {
    awk '
        function ms(text) {
            if (text ~ /us$/) return text / 1000
            if (text ~ /ms$/) return text + 0
            if (text ~ /m$/) return text * 60000
            return text * 1000
        }
        $1 == "Latency" && $2 != "Distribution" { mean = ms($2) }
        $1 == "50%" { p50 = ms($2) }
        $1 == "75%" { p75 = ms($2) }
        $1 == "90%" { p90 = ms($2) }
        $1 == "99%" { p99 = ms($2) }
        /Requests\/sec/ { rps = $2 }
        /Socket errors/ { gsub(",", ""); errors += $4 + $6 + $8 + $10 }
        /Non-2xx/ { errors += $NF }
        END { printf "%.0f %.2f %.2f %.2f %.2f %.2f %d\n", rps, mean, p50, p75, p90, p99, errors }
    ' "$1"
}

measure() {
    local round n
    for n in "${!names[@]}"; do run_wrk 2 "${urls[n]}" >/dev/null; done
    for ((round = 1; round <= rounds; round++)); do
        for n in "${!names[@]}"; do
            echo "round $round of $rounds: ${names[n]}" >&2
            run_wrk "$duration" "${urls[n]}" >"$work/wrk"
            numbers "$work/wrk" >>"$work/${names[n]}.numbers"
        done
    done
}

table() {
    local name direct=
    echo
    echo "wrk -t$threads -c$connections -d${duration}s --latency, scenario $scenario, $rounds round(s); $pinning"
    echo "latencies in ms; drop and ratio against direct"
    echo
    printf '%-10s %12s %8s %9s %9s %9s %9s %9s %7s %8s\n' target 'requests/s' drop mean p50 p75 p90 p99 ratio errors
    for name in "${names[@]}"; do
        local median
        median=$(sort -n "$work/$name.numbers" | sed -n "$(((rounds + 1) / 2))p")
        [ "$name" != direct ] || direct=${median%% *}
        awk -v name="$name" -v direct="$direct" '{
            drop = direct == "" || name == "direct" ? "-" : sprintf("%.1f%%", (1 - $1 / direct) * 100)
            ratio = direct == "" ? "-" : sprintf("%.3f", $1 / direct)
            printf "%-10s %12d %8s %9.2f %9.2f %9.2f %9.2f %9.2f %7s %8d\n", name, $1, drop, $2, $3, $4, $5, $6, ratio, $7
        }' <<<"$median"
    done
}

start_all
measure
table
