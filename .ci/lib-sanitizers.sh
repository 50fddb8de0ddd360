# shellcheck shell=bash
# The tests that sanitizers run: those of the core, where all `unsafe` is, and by `--all` those of
# the transports. Sourced after lib.sh by `asan` and `tsan`. ThreadSanitizer makes system calls
# of its own. Instrumented tests are slow, so there are few random cases, and the models and damages
# of the link, which is safe code on one thread, are left out. As many tests run at once as there
# are cores.
sanitized() {
    local packages=(-p mycelium-bus-core)
    export PROPTEST_CASES=${PROPTEST_CASES:-32}
    [ -z "$EVERYTHING" ] || packages+=(-p mycelium-bus-transports)
    cargo "+$NIGHTLY" test "$@" --target "$HOST" "${packages[@]}" \
        --features mycelium-bus-core/alloc,mycelium-bus-core/futures --lib --tests -- \
        --skip makes_no_system_call --skip link::damage --skip link::model --test-threads "$(nproc)"
}
