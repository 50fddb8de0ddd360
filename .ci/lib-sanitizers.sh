# shellcheck shell=bash
# The tests that sanitizers run: those that share memory. Sourced after lib.sh by `asan` and `tsan`.
# The compiler's messages (`ui`) are not their subject.
sanitized() {
    cargo "+$NIGHTLY" test "$@" --target "$HOST" -p mycelium-core -p mycelium-transports --lib --tests -- \
        --skip refusals_say_what_to_do
}
