# shellcheck shell=bash
# Miri, and which tests of the core it is given. Sourced after lib.sh by `miri` and `miri-rest`.
need_nightly_component miri Miri
need_nightly_component rust-src Miri
cargo "+$NIGHTLY" miri setup
expect_fault Miri "Undefined Behavior" \
    rustup run "$NIGHTLY" miri --sysroot "$(cargo "+$NIGHTLY" miri setup --print-sysroot)" --edition 2024 .ci/probes/race.rs

interpret() { cargo "+$NIGHTLY" miri test --target-dir "$TARGET/miri" "$@"; }

# Oracles: they run for minutes here, on one thread, through code that other tests reach too.
# Natively `test` runs them.
ORACLES=(behaves_like_the_model behave_like_the_model every_message_is_accounted_for)
# Tests that take most of a minute each here.
SLOW=(ends_stop_at_their_limit any_sequence_of_operations_agrees no_bytes_of_a_peer_make_it_panic)

# The test files of the core without a way to `unsafe` or to an ordering: frames and the link are
# safe code on one thread. The names of the others.
core_tests() {
    local file name
    for file in core/tests/*.rs core/tests/*/main.rs; do
        name=${file#core/tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        case $name in
            link* | legacy | wire | decoder | ui | properties) ;;
            *) echo "$name" ;;
        esac
    done
}

# interpret_on_two_cores TEST .. -- FILTER ..: Miri runs a test file on one core, so each core gets
# half of the files of CARGO_ARGUMENTS' packages.
interpret_on_two_cores() {
    local tests=() halves=("" "") half failed=
    while [ "$1" != -- ]; do tests+=("--test $1") && shift; done
    shift
    for half in "${!tests[@]}"; do halves[half % 2]+=" ${tests[half]}"; done
    # Built once, before both run.
    # shellcheck disable=SC2086 # lists of words
    interpret "${CARGO_ARGUMENTS[@]}" ${tests[*]} --no-run
    for half in 0 1; do
        # shellcheck disable=SC2086
        interpret "${CARGO_ARGUMENTS[@]}" ${halves[half]} -- "$@" >"$LOGS/miri.$half.log" 2>&1 &
    done
    for half in 0 1; do wait -n || failed=1; done
    cat "$LOGS"/miri.[01].log
    [ -z "$failed" ] || fail "Miri found a fault"
}

# `--skip` for each of these filters, which must be parts of names of tests.
skipping() {
    local filter
    for filter in "$@"; do
        grep -rE "\b[a-z0-9_]*$filter[a-z0-9_]*\b" --include='*.rs' -q core transports ||
            fail "no test is called \`$filter\`, which .ci/lib-miri.sh leaves out"
        echo --skip "$filter"
    done
}
