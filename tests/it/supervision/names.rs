//! Supervisors that contradict each other or the services: refused before anything runs, with the
//! place in the file.

use mycelium::supervision::{Lifetime, Supervisor};
use mycelium::{Builder, Context, Node, Result, Topology, service};

use crate::support::idle_services;

idle_services! {
    Idle();
}

/// Returns a builder with services `A`, `B` and `C`.
fn builder() -> Builder {
    let named = |builder: Builder, name| builder.named_service(name, || Idle);
    ["A", "B", "C"].into_iter().fold(Node::builder("main"), named)
}

fn of_file(text: &str) -> String {
    let node = builder().topology(Topology::parse("t.toml", text).unwrap()).build();
    node.expect_err(text).to_string()
}

fn of_program(change: impl FnOnce(Builder) -> Builder) -> String {
    change(builder()).build().unwrap_err().to_string()
}

fn parsed(text: &str) -> String {
    Topology::parse("t.toml", text).unwrap_err().to_string()
}

#[test]
fn errors_of_a_file_have_their_place() {
    assert_eq!(
        of_file("[supervisor.top]\nchildren = [\"A\", \"Bee\"]\n"),
        "t.toml:2:18: supervisor `top` has an unknown child `Bee`: expected one of: A, B, C, \
         top; a child is a service or another supervisor [M0030]"
    );
    assert_eq!(
        of_file("[supervisor.one]\nchildren = [\"A\"]\n[supervisor.two]\nchildren = [\"A\"]\n"),
        "t.toml:4:13: `A` is supervised twice, by `one` and by `two`: remove it from the children of \
         one of them [M0031]"
    );
    assert_eq!(
        of_file(
            "[supervisor.one]\nchildren = [\"two\"]\n[supervisor.two]\nchildren = [\"A\", \"one\"]\n"
        ),
        "t.toml:1:13: supervisors supervise each other: one -> two -> one; remove one of them from \
         the children of the one before it [M0032]"
    );
    assert_eq!(
        of_file("[supervisor.top]\nchildren = []\n"),
        "t.toml:1:13: supervisor `top` has no children: list services or other supervisors in its \
         `children`, or remove it [M0033]"
    );
    assert_eq!(
        of_file("[supervisor.A]\nchildren = [\"B\"]\n"),
        "t.toml:1:13: supervisor `A` has the name of a service: give it another name [M0034]"
    );
    assert_eq!(
        of_file(
            "[node.main]\nservices = [\"A\"]\n[node.other]\nservices = [\"B\"]\n\
             [supervisor.top]\nchildren = [\"A\", \"B\"]\n"
        ),
        "t.toml:5:13: supervisor `top` has services of two nodes, `A` of `main` and `B` of `other`: \
         a supervisor is in one process, so make one for each node [M0037]"
    );
    assert_eq!(
        parsed("[supervisor.top]\nstrategy = \"one-for-al\"\n"),
        "t.toml:2:12: invalid strategy `one-for-al`: did you mean `one-for-all`? (expected one of: \
         one-for-one, one-for-all, rest-for-one) [M0101]"
    );
    assert_eq!(
        parsed("[service.A]\nlifetime = \"forever\"\n"),
        "t.toml:2:12: invalid lifetime `forever`: expected one of: permanent, transient, temporary [M0101]"
    );
}

#[test]
fn errors_of_a_program_name_the_supervisor() {
    let top = || Supervisor::one_for_one("top");
    assert_eq!(
        of_program(|it| it
            .supervisor(top().named_service("A"))
            .supervisor(top().named_service("B"))),
        "two supervisors are called `top`: give one of them another name [M0035]"
    );
    assert_eq!(
        of_program(|it| it.supervisor(Supervisor::one_for_one("a b").named_service("A"))),
        "invalid supervisor name `a b`: expected at least one character, and no space, `=` or \
         control character [M0036]"
    );
    assert_eq!(
        of_program(|it| it.lifetime("D", Lifetime::Permanent)),
        "`Builder::lifetime` names an unknown service `D`: expected one of: A, B, C [M0038]"
    );
}
