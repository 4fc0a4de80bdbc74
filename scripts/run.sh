#!/usr/bin/env bash
# What `make run` starts: two origins, an admin with the quick start's configuration, and a gateway that is an engine of that
# admin. Database, key, token and logs are in a folder that goes away at the end. Ctrl-C (or SIGTERM) ends all of them, and
# so does the end of any one. Takes the binaries that COREGATE_BIN and COREGATE_ADMIN_BIN name, else those of
# `cargo build --profile quick`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
built=${CARGO_TARGET_DIR:-$root/target}/quick
gateway_bin=${COREGATE_BIN:-$built/coregate}
admin_bin=${COREGATE_ADMIN_BIN:-$built/coregate-admin}

listen=127.0.0.1:8080 origins=2003,2004 ops=127.0.0.1:9901 admin=127.0.0.1:8880
ready_within=30 # seconds

usage() {
    cat <<END
usage: make run RUN_FLAGS="[--listen ADDRESS] [--origins PORT,PORT] [--ops ADDRESS] [--admin ADDRESS]"
  --listen ADDRESS     of the gateway ($listen)
  --origins PORT,PORT  of the two origins, on 127.0.0.1 ($origins)
  --ops ADDRESS        of health, metrics and the read-only API of the gateway ($ops)
  --admin ADDRESS      of the dashboard and the API of the admin ($admin)
END
}

die() {
    echo "run: $*" >&2
    exit 1
}

wrong_flag() {
    echo "run: $*" >&2
    usage >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --listen | --ops | --admin)
        [[ ${2-} =~ ^[0-9.]+:[0-9]+$|^\[[0-9a-fA-F:.]+\]:[0-9]+$ ]] || wrong_flag "$1 \"${2-}\": right would be 127.0.0.1:8081"
        printf -v "${1#--}" %s "$2"
        ;;
    --origins)
        [[ ${2-} =~ ^[0-9]+,[0-9]+$ ]] || wrong_flag "$1 \"${2-}\": right would be two ports, such as 3003,3004"
        origins=$2
        ;;
    *) wrong_flag "unknown flag \"$1\"" ;;
    esac
    shift 2
done
first=127.0.0.1:${origins%,*} second=127.0.0.1:${origins#*,}

# Opens descriptor 3 to an address; fails if nobody listens there.
connect() {
    local host=${1%:*}
    host=${host#[}
    exec 3<>"/dev/tcp/${host%]}/${1##*:}"
} 2>/dev/null

# The body of an answer to GET, if it is 200.
body_of() {
    (connect "$1" && printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$2" "$1" >&3 &&
        read -r -t 5 _ status _ <&3 && [ "$status" = 200 ] && sed '1,/^\r$/d' <&3)
}

answers() { body_of "$@" >/dev/null; }

expect_free() {
    local taken=() entry
    for entry in "gateway --listen $listen" "first_origin --origins $first" "second_origin --origins $second" \
        "ops_address --ops $ops" "admin --admin $admin"; do
        read -r what flag address <<<"$entry"
        if (connect "$address"); then
            taken+=("port ${address##*:} is taken (${what//_/ }, $address); choose another by $flag")
        fi
    done
    [ ${#taken[@]} -gt 0 ] || return 0
    printf 'run: %s\n' "${taken[@]}" >&2
    die 'for example: make run RUN_FLAGS="--listen 127.0.0.1:8081 --origins 2013,2014 --ops 127.0.0.1:9911 --admin 127.0.0.1:8881"'
}

umask 077
folder=
declare -A names=() # of the processes that run, by process id
stopping=

end_all() { [ ${#names[@]} -eq 0 ] || kill -TERM "${!names[@]}" || true; } 2>/dev/null

# A second signal reaches them, too, and ends a drain that takes long.
on_signal() {
    stopping=yes
    end_all
}
trap on_signal INT TERM HUP

finish() {
    end_all
    local pid
    for pid in "${!names[@]}"; do
        # A signal interrupts the wait.
        while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done 2>/dev/null
    done
    [ -z "$folder" ] || rm -rf "$folder"
}
trap finish EXIT

# Starts a process that is no part of the terminal's group, so that Ctrl-C reaches this script alone, and that ends with it.
start() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM "$@" >"$folder/$name.log" 2>&1 </dev/null &
    names[$!]=$name
}

# Tells which process has ended, with its last words, and ends.
ended() {
    local name=${names[$1]}
    unset "names[$1]"
    echo "run: $name has ended with code $2, so the others end, too. Its last words:" >&2
    tail -n 5 "$folder/$name.log" | sed 's/^/  /' >&2
    exit 1
}

# Ends if a process has. Asked again and again: `wait -n` would not tell of one that ended before it was called.
expect_all_run() {
    local pid code=0
    for pid in "${!names[@]}"; do
        kill -0 "$pid" 2>/dev/null && continue
        wait "$pid" 2>/dev/null || code=$?
        [ -z "$stopping" ] || exit 0
        ended "$pid" "$code"
    done
}

# A signal may cut it short, and the trap has then said so.
nap() { sleep "$1" || true; }

# Waits until the command that is given holds, as long as all processes run.
until_true() {
    local what=$1 deadline=$((SECONDS + ready_within))
    shift
    until "$@"; do
        [ -z "$stopping" ] || exit 0
        expect_all_run
        if [ $SECONDS -ge $deadline ]; then
            tail -n 5 "$folder"/*.log >&2
            die "not within $ready_within seconds: $what"
        fi
        nap 0.1
    done
}

set_up_link() { sed -n 's/^set-up link: //p' "$folder/admin.log"; }
has_set_up_link() { [ -n "$(set_up_link)" ]; }

for binary in "$gateway_bin" "$admin_bin"; do
    [ -x "$binary" ] || die "$binary is missing: make run builds it"
done
# Settings of another admin are none of this one's.
for variable in "${!COREGATE_ADMIN_@}"; do unset "$variable"; done
expect_free

folder=$(mktemp -d "${TMPDIR:-/tmp}/coregate-run.XXXXXX")
store=(--database "sqlite:$folder/admin.db" --log-level warn)
sed -e "s/0\.0\.0\.0:8080/$listen/" -e "s/\"127\.0\.0\.1:2003\"/\"$first\"/" -e "s/\"127\.0\.0\.1:2004\"/\"$second\"/" \
    "$root/config/examples/quickstart.toml" >"$folder/quickstart.toml"
cat >"$folder/coregate.toml" <<END
[server]
ops_address = "$ops"
drain_timeout = "5s"

[control]
source = "admin"
admin_url = "http://$admin"
token_file = "$folder/token"
cache_path = "$folder/last-good.json"
END
"$admin_bin" "${store[@]}" import file "$folder/quickstart.toml" --message "the quick start" >"$folder/import.log" 2>&1 ||
    die "the quick start could not be imported: $(<"$folder/import.log")"
"$admin_bin" "${store[@]}" token --role engine --name make-run >"$folder/token"

start first-origin "$gateway_bin" origin --listen "$first"
start second-origin "$gateway_bin" origin --listen "$second"
start admin "$admin_bin" "${store[@]}" --listen "$admin" --environment "make run"
until_true "the admin answers" answers "$admin" /healthz
until_true "the admin's set-up link" has_set_up_link
start gateway "$gateway_bin" --config "$folder/coregate.toml"
until_true "the gateway is ready" answers "$ops" /readyz

without_dashboard=
if [[ $(body_of "$admin" /) == *"dashboard is not built"* ]]; then
    without_dashboard="
           without npm there is no dashboard: http://$admin/api/v1/openapi.json describes the API"
fi
cat <<END

gateway    http://$listen
origins    http://$first  http://$second
ops        http://$ops/metrics
dashboard  $(set_up_link)
           makes the first account, once$without_dashboard
logs       $folder/*.log
try        curl http://$listen/test_http_1/test
stop       Ctrl-C; what was changed in the dashboard goes with it

END

while [ -z "$stopping" ]; do
    expect_all_run
    nap 0.2
done
