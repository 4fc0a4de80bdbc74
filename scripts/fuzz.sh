#!/usr/bin/env bash
# Runs every fuzz target for some seconds over its kept corpus: scripts/fuzz.sh SECONDS [TARGET...]
#
# Builds with the coverage instrumentation that cargo-fuzz uses, so that neither it nor a nightly compiler is needed.
# With SANITIZER=address (a nightly compiler: RUSTUP_TOOLCHAIN=nightly) memory errors are found too. What is found
# lies in fuzz/artifacts; new corpus entries of a long run lie in fuzz/target/corpus and are added by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"
seconds=${1:?usage: scripts/fuzz.sh SECONDS [TARGET...]}
shift

flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks"
[ -z "${SANITIZER:-}" ] || flags="$flags -Zsanitizer=$SANITIZER"
host=$(rustc -vV | sed -n 's/^host: //p')

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

# A target triple of its own keeps the flags away from build scripts and macros.
RUSTFLAGS="${flags//$'\n'/ }" cargo build --release --bins --target "$host" --target-dir target

for target in "${targets[@]}"; do
    corpus=corpus/$target found=target/corpus/$target
    mkdir -p "$corpus" "$found" "artifacts/$target"
    echo "fuzz: $target for $seconds s"
    if ! "target/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=0 \
        -artifact_prefix="artifacts/$target/" "$found" "$corpus" >"target/$target.log" 2>&1; then
        tail -n 60 "target/$target.log"
        echo "fuzz: $target FAILED; the input lies in fuzz/artifacts/$target"
        exit 1
    fi
    tail -n 1 "target/$target.log"
done
