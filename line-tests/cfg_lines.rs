//! Compiles the package under `cfg(lines)`, and no other one.
#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo::rerun-if-changed=../cfg_lines.rs");
    println!("cargo::rustc-cfg=lines");
}
