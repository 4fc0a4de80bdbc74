#!/usr/bin/env bash
# Builds what a comparison needs and runs it; all flags go to coregate-compare (--help lists them). See README.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
profile=${PROFILE:-release}
cargo build --profile "$profile" -p coregate -p coregate-admin -p coregate-bench --bins
exec "${CARGO_TARGET_DIR:-target}/$profile/coregate-compare" "$@"
