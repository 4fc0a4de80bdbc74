#!/usr/bin/env bash
# The dashboard of the admin: builds admin/web/dist, which the compiler embeds into coregate-admin; with "test" checks it.
# Does nothing, and says so, where npm is not there: coregate-admin then has its API alone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../admin/web"

say() { echo "web: $*"; }

if ! command -v npm >/dev/null; then
    say "npm is not installed: the dashboard is left out, coregate-admin has its API alone"
    exit 0
fi

# Node's packages as package-lock.json has them, anew only when it changed.
install_packages() {
    if [ node_modules/.package-lock.json -nt package-lock.json ]; then return; fi
    say "installing packages"
    npm ci --silent --no-audit --no-fund
    touch node_modules/.package-lock.json
}

is_current() {
    [ -e dist/index.html ] &&
        [ -z "$(find src public index.html vite.config.ts package-lock.json -newer dist/index.html -print -quit)" ]
}

case "${1:-build}" in
build)
    if is_current; then
        say "dist is current"
        exit 0
    fi
    install_packages
    npm run --silent build -- --logLevel warn
    say "built: $(node build/size.mjs)"
    ;;
test)
    install_packages
    npm run --silent lint
    npm run --silent typecheck
    npm test --silent
    ;;
*)
    say "what? right would be: scripts/web.sh [build|test]"
    exit 2
    ;;
esac
