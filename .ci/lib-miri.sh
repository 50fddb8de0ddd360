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
ORACLES=(behaves_like_the_model behave_like_the_model)
# Tests that take most of a minute each here.
SLOW=(any_sequence_of_operations_agrees no_bytes_of_a_peer_make_it_panic)

# Modules of the core's tests without a way to `unsafe` or to an ordering: frames and the link are
# safe code on one thread.
SAFE=(link:: legacy:: wire:: properties::)

# `--skip` for each of these filters, which must be parts of names of tests.
skipping() {
    local filter
    for filter in "$@"; do
        grep -rE "\b[a-z0-9_]*$filter[a-z0-9_]*\b" --include='*.rs' -q core transports ||
            fail "no test is called \`$filter\`, which .ci/lib-miri.sh leaves out"
        echo --skip "$filter"
    done
}
