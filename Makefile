# coregate: build, run, test, measure. `make help` lists what there is.

CARGO ?= cargo
# Flags of scripts/run.sh, for example RUN_FLAGS="--listen 127.0.0.1:9090"; `make run RUN_FLAGS=--help` lists them.
RUN_FLAGS ?=
# Seconds for each fuzz target: a short run in `make test`, a long one in `make fuzz`.
FUZZ_SECONDS_SHORT ?= 10
FUZZ_SECONDS ?= 300
# Flags of wrk-scripts/run.sh, for example WRK_FLAGS="--duration 10".
WRK_FLAGS ?=
# Flags of bench/compare.sh, for example BENCH_FLAGS="--rounds 5".
BENCH_FLAGS ?=

# The tests inject a panic into a connection's task; no release has this feature.
TEST_FEATURES := --features coregate/fault-injection

.PHONY: help run test test-deps format-check lint build-for-tests unit-and-integration deny fuzz fuzz-short \
	sanitize check bench wrk deb clean web web-test

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: web ## Starts a gateway on port 8080, two origins behind it and its admin with the dashboard; says what to try
	$(CARGO) build --profile quick -p coregate -p coregate-admin
	@scripts/run.sh $(RUN_FLAGS)

test: test-deps format-check lint web web-test build-for-tests unit-and-integration deny fuzz-short ## Installs what tests need, then checks everything
	@echo "make test: all is well"

test-deps: ## Installs what the tests need, where it is missing
	scripts/install-test-deps.sh

format-check: ## Is everything formatted?
	$(CARGO) fmt --all -- --check

lint: ## Clippy over everything, warnings are errors; shellcheck where it is installed
	$(CARGO) clippy --workspace --all-targets $(TEST_FEATURES) -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run fuzz/run scripts/*.sh wrk-scripts/*.sh; \
	else echo "shellcheck is not installed: the scripts were not checked"; fi

web: ## Builds the admin's dashboard into admin/web/dist, where npm is installed
	scripts/web.sh build

web-test: ## The dashboard's lints, types and unit tests, where npm is installed
	scripts/web.sh test

build-for-tests: ## Builds the binaries that the integration tests start
	$(CARGO) build --workspace --bins $(TEST_FEATURES)

unit-and-integration: build-for-tests ## Unit and integration tests
	$(CARGO) test --workspace --no-fail-fast $(TEST_FEATURES)

deny: ## Licences, sources, duplicates and, where its database can be had, advisories
	scripts/deny.sh

fuzz-short: ## Every fuzz target, some seconds each
	fuzz/run $(FUZZ_SECONDS_SHORT)

fuzz: ## Every fuzz target, some minutes each
	fuzz/run $(FUZZ_SECONDS)
	fuzz/run $(FUZZ_SECONDS) ring

sanitize: ## The network ring's tests under AddressSanitizer; the first time builds everything anew
	scripts/sanitize.sh

check: ## The quick part of `make test`: formatting, lints, unit tests
	$(MAKE) format-check lint
	$(CARGO) test --workspace --lib --bins $(TEST_FEATURES)

bench: ## Micro-benchmarks, then coregate beside nginx and HAProxy; writes bench/RESULTS.md
	$(CARGO) bench -p coregate-bench
	bench/compare.sh $(BENCH_FLAGS)
	bench/compare.sh --scenario governance
	bench/compare.sh --scenario protocols
	bench/compare.sh --scenario idle-memory
	bench/compare.sh --scenario idle-cpu
	bench/compare.sh --scenario admin

wrk: ## The wrk suite: origin directly, coregate, and nginx and HAProxy where installed
	wrk-scripts/run.sh $(WRK_FLAGS)

deb: ## Debian packages of both processes, into target/debian; needs cargo-deb (make test-deps has it)
	@if command -v npm >/dev/null; then $(MAKE) web; fi
	$(CARGO) build --release --locked -p coregate -p coregate-admin
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) deb --no-build -p coregate -o target/debian/
	PATH="$(CURDIR)/target/tools/bin:$$PATH" $(CARGO) deb --no-build -p coregate-admin -o target/debian/

clean: ## Removes what was built
	$(CARGO) clean
	rm -rf fuzz/target fuzz/artifacts admin/web/dist admin/web/node_modules
