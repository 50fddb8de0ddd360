//! `explain` as a user runs it.

use serde_json::Value;

use crate::common::{json, run};

fn text(arguments: &[&str]) -> String {
    run(&[&["explain"], arguments].concat()).expect_success()
}

fn refused(arguments: &[&str]) -> String {
    run(&[&["explain"], arguments].concat()).expect_failure(2)
}

#[test]
fn a_code_may_be_written_in_three_ways() {
    assert_eq!(text(&["[M0105]"]), text(&["M0105"]));
    let page = text(&["M0105"]);
    assert!(page.starts_with("M0105: unknown name\n"), "{page}");
    for part in [
        "\n\n    unknown service `Summ`",
        "\n\nUse one of the names that the text lists",
        "\n\nThe text begins with file, line and column.",
        "\n\nFor example: ",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains('\x1b'), "no colours in a pipe");
    assert!(page.lines().all(|line| line.chars().count() <= 100), "{page}");
    for code in ["m105", "105"] {
        assert_eq!(text(&[code]), page);
    }
}

#[test]
fn the_text_of_an_error_finds_its_page() {
    let page = text(&["M0210"]);
    let line = "mycelium: error: subscription `A.b` is taken: call `subscribe` once [M0210]";
    assert_eq!(text(&[line]), page);
    assert_eq!(text(&["`main` failed [M0210] (node `main`)"]), page);
    assert_eq!(text(&["subscription", "`Other.x`", "is", "taken"]), page);
    assert_eq!(text(&["subscription `A.b` is taken: call `subscribe` once and keep it"]), page);
    for (part, code) in [("core 17 does not exist", "M0074"), ("SERVICES  deadlock", "M0008")] {
        assert_eq!(text(&[part]), text(&[code]), "{part}");
    }
    let unknown = text(&["unknown service `Foo`"]);
    let codes: Vec<_> = unknown.lines().map(|line| &line[..5]).collect();
    assert_eq!(codes, ["M0015", "M0038", "M0105"]);
    let mistake = text(&["an enum cannot be a message of its own"]);
    assert!(mistake.contains("Instead: Write a struct with the enum as a field."), "{mistake}");
    let several = text(&["unknown"]);
    assert!(several.lines().count() > 3 && several.contains("M0105  unknown name"), "{several}");
}

#[test]
fn all_codes_are_listed() {
    let list = text(&["--list"]);
    assert!(list.starts_with("M0001  two services have one name\n"), "{list}");
    assert_eq!(list.lines().count(), mycelium::error::Code::ALL.len());
    let pages = json(&["explain", "--list"]);
    let codes = pages.iter().map(|page| page["code"].as_str());
    assert!(codes.flatten().eq(list.lines().map(|line| &line[..5])));
    let page: Value = serde_json::from_str(&text(&["8", "--output", "json"])).expect("JSON");
    assert_eq!(page[0]["code"], "M0008");
    for part in ["meaning", "message", "instead", "general"] {
        assert!(page[0][part].as_str().is_some_and(|text| !text.is_empty()), "{part}");
    }
}

#[test]
fn mistakes_of_the_command_line() {
    let unknown = "error: unknown code `M9999`: expected one of `mycelium explain --list`\n";
    assert_eq!(refused(&["M9999"]), unknown);
    let none = "error: no error has the text `zzz`: try fewer words, or look into `mycelium \
                explain --list`\n";
    assert_eq!(refused(&["zzz\n"]), none);
    let near = refused(&["a subscripton is taken twise"]);
    assert!(near.contains("the nearest are M0210 (a subscription is taken twice)"), "{near}");
    for arguments in [&[][..], &["--list", "M0001"], &["-o", "xml", "M0001"], &[""], &["\u{1b}[1m"]]
    {
        let error = refused(arguments);
        assert!(error.starts_with("error: ") && !error.contains('\x1b'), "{error}");
    }
}
