//! Supervisors that contradict each other or the services: refused before anything runs, with the
//! place in the file.

use mycelium::supervision::{Lifetime, Supervisor};
use mycelium::{Builder, Context, Node, Result, Topology, service};

use crate::running::Says;
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
    match Topology::parse("t.toml", text) {
        Ok(topology) => of_program(|it| it.topology(topology)),
        Err(error) => error.to_string(),
    }
}

fn of_program(change: impl FnOnce(Builder) -> Builder) -> String {
    change(builder()).build().unwrap_err().to_string()
}

#[test]
fn errors_of_a_file_have_their_place() {
    of_file("[supervisor.top]\nchildren = [\"A\", \"Bee\"]\n").says(
        "t.toml:2:18: supervisor `top` has an unknown child `Bee`: expected one of: A, B, C, \
         top; a child is a service or another supervisor [M0030]",
    );
    let one = "[supervisor.one]\nchildren";
    let two = "[supervisor.two]\nchildren";
    of_file(&format!("{one} = [\"A\"]\n{two} = [\"A\"]\n")).says(
        "t.toml:4:13: `A` is supervised twice, by `one` and by `two`: remove it from the children of \
         one of them [M0031]",
    );
    of_file(&format!("{one} = [\"two\"]\n{two} = [\"A\", \"one\"]\n")).says(
        "t.toml:1:13: supervisors supervise each other: one -> two -> one; remove one of them from \
         the children of the one before it [M0032]",
    );
    of_file("[supervisor.top]\nchildren = []\n").says(
        "t.toml:1:13: supervisor `top` has no children: list services or other supervisors in its \
         `children`, or remove it [M0033]",
    );
    of_file("[supervisor.A]\nchildren = [\"B\"]\n").says(
        "t.toml:1:13: supervisor `A` has the name of a service: give it another name [M0034]",
    );
    let text = "[node.main]\nservices = [\"A\"]\n[node.other]\nservices = [\"B\"]\n\
                [supervisor.top]\nchildren = [\"A\", \"B\"]\n";
    of_file(text).says(
        "t.toml:5:13: supervisor `top` has services of two nodes, `A` of `main` and `B` of `other`: \
         a supervisor is in one process, so make one for each node [M0037]",
    );
    of_file("[supervisor.top]\nstrategy = \"one-for-al\"\n").says(
        "t.toml:2:12: invalid strategy `one-for-al`: did you mean `one-for-all`? (expected one of: \
         one-for-one, one-for-all, rest-for-one) [M0101]",
    );
    of_file("[service.A]\nlifetime = \"forever\"\n")
        .says("t.toml:2:12: invalid lifetime `forever`: expected one of: permanent, transient, temporary [M0101]");
}

#[test]
fn errors_of_a_program_name_the_supervisor() {
    let top = || Supervisor::one_for_one("top");
    of_program(|it| it.supervisor(top().named_service("A")).supervisor(top().named_service("B")))
        .says("two supervisors are called `top`: give one of them another name [M0035]");
    of_program(|it| it.supervisor(Supervisor::one_for_one("a b").named_service("A"))).says(
        "invalid supervisor name `a b`: expected at least one character, and no space, `=` or \
         control character [M0036]",
    );
    of_program(|it| it.lifetime("D", Lifetime::Permanent))
        .says("`Builder::lifetime` names an unknown service `D`: expected one of: A, B, C [M0038]");
}
