# shellcheck shell=bash
# Compilers for targets without an operating system: rustup's, or else Debian's, which brings the
# sources of `core` and `alloc` along. Sourced after lib.sh by `no-std` and `qemu`.
NO_CROSS="neither rustup nor Debian's rustc-web is available"

# Finds a compiler for a target; `cross_cargo` uses it from then on.
cross() {
    CROSS_TARGET=$1 CROSS_ROUTE=
    if command -v rustup >/dev/null && rustup target add "$1"; then
        CROSS_ROUTE=rustup
    elif debian_rust; then
        CROSS_ROUTE=debian
    fi
    [ -n "$CROSS_ROUTE" ]
}

# cargo, for the target of the last `cross`.
cross_cargo() {
    local command=$1
    shift
    case $CROSS_ROUTE in
        rustup) cargo "$command" --target "$CROSS_TARGET" "$@" ;;
        debian)
            # Its linker for microcontrollers is the one of the toolchain that runs cargo.
            RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
                RUSTFLAGS="${RUSTFLAGS:-} -Clinker=$(rustc --print sysroot)/lib/rustlib/$HOST/bin/rust-lld" \
                cargo "$command" -Zbuild-std=core,alloc --target "$CROSS_TARGET" "$@"
            ;;
    esac
}

# Debian's compiler with the sources that match it.
debian_rust() {
    [ -x /usr/bin/rustc ] && [ -n "$(echo /usr/src/rustc-*/library/core)" ] && return
    command -v apt-get >/dev/null && apt-get update &&
        apt-get install -y --no-install-recommends rustc-web rust-web-src
}
