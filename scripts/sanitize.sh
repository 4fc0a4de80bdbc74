#!/usr/bin/env bash
# Runs the unit tests of the network ring under AddressSanitizer: scripts/sanitize.sh [TEST FILTER...]
#
# The ring is the engine's only `unsafe` code, and its tests drop sockets and futures with operations in the kernel's
# hands. The stable compiler has the sanitizer; RUSTC_BOOTSTRAP=1 lets it take the flag. What is built lies in
# target/asan, apart from everything else: the first time takes as long as a build from scratch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
filters=("$@")
[ ${#filters[@]} -gt 0 ] || filters=("net::")

host=$(rustc -vV | sed -n 's/^host: //p')
# Tasks run on the stack of their thread, one after the other. Nothing switches stacks, so every check may be on.
export ASAN_OPTIONS="detect_stack_use_after_return=1:detect_leaks=1:exitcode=99${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
# A target triple of its own keeps the flags away from build scripts and macros.
exec "${CARGO:-cargo}" test -p coregate --lib --target "$host" --target-dir target/asan -- "${filters[@]}"
