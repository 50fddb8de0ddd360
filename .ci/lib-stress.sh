# shellcheck shell=bash
# The stress program. Sourced after lib.sh by `stress` and `two-by-two`.
STRESS=$TARGET/release/examples/stress
cargo build --release -p mycelium-core --features alloc --example stress
