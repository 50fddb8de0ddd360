//! `routes!` compiles to the same instructions as calls by hand: rustc compiles `compared.rs` with
//! optimisations, and the test compares the instructions of its functions.
#![allow(clippy::print_stdout, reason = "`--nocapture` shows the instructions")]
#![cfg(all(not(miri), any(target_arch = "x86_64", target_arch = "aarch64")))]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[test]
fn routes_are_the_instructions_of_calls_by_hand() {
    let assembly = assembly();
    let of = |function: &str| instructions(&assembly, function);
    let by_hand = of("call_four");
    assert!(by_hand.len() > 5, "they do something: {by_hand:#?}");
    assert_eq!(of("route_four"), by_hand);
    assert_ne!(of("call_by_list"), by_hand, "the comparison finds differences");
    println!("route_four: {by_hand:#?}");
}

/// Returns the assembly of `compared.rs`, compiled against the library of this test.
fn assembly() -> String {
    let test = env::current_exe().expect("a test has a path");
    let libraries = test.parent().expect("it lies beside its libraries");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compared.s");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/routes/compared.rs");
    let compiled = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition=2024", "--crate-type=lib", "--emit=asm", "-Copt-level=3"])
        .arg("--extern")
        .arg(format!("mycelium={}", newest_library(libraries).display()))
        .arg("-L")
        .arg(format!("dependency={}", libraries.display()))
        .arg("-o")
        .args([&target, &source])
        .output()
        .expect("rustc can be started");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    fs::read_to_string(target).expect("rustc has written it")
}

/// Returns the newest library: other builds may have left theirs, and this test's is the newest.
fn newest_library(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).expect("the directory exists").filter_map(Result::ok);
    let libraries = files.filter(|file| {
        let name = file.file_name();
        name.to_str().is_some_and(|it| it.starts_with("libmycelium-") && it.ends_with(".rlib"))
    });
    let newest = libraries.max_by_key(|file| file.metadata().and_then(|it| it.modified()).ok());
    newest.expect("the library of this test is beside it").path()
}

/// Returns the instructions of a function, with its labels numbered in the order of their use.
fn instructions(assembly: &str, function: &str) -> Vec<String> {
    // The compiler may merge equal functions.
    let merged = assembly.lines().find_map(|line| {
        let (name, other) = match line.trim().strip_prefix(".set") {
            Some(set) => set.split_once(',')?,
            None => line.split_once(" = ")?,
        };
        (name.trim() == function).then(|| other.trim())
    });
    if let Some(other) = merged {
        return instructions(assembly, other);
    }
    let label = format!("{function}:");
    let body = assembly.lines().skip_while(|line| **line != label).skip(1);
    let body = body.take_while(|line| !line.trim().starts_with(".cfi_endproc"));
    let code = body.filter(|line| line.starts_with('\t') && !line.trim().starts_with('.'));
    let code: Vec<&str> = code.map(str::trim).collect();
    assert!(!code.is_empty(), "no function `{function}`");
    if let [jump] = code[..]
        && let Some(other) = jump.strip_prefix("jmp").or_else(|| jump.strip_prefix("b\t"))
    {
        return instructions(assembly, other.trim());
    }
    let mut labels = BTreeMap::new();
    let mut numbered = |line: &&str| {
        let mut text = String::new();
        for part in line.split_inclusive([' ', '\t', ',', '(', ')']) {
            match part.strip_prefix(".L") {
                Some(local) => {
                    let next = labels.len();
                    let number = labels.entry(local.to_owned()).or_insert(next);
                    text.push_str(&format!("<{number}>"));
                }
                None => text.push_str(part),
            }
        }
        text
    };
    code.iter().map(&mut numbered).collect()
}
