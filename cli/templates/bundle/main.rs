//! Starts a process for each node of processes.toml, and again when one dies, until Ctrl-C.
//! `__PROGRAM__ NODE` is one of these processes; `mycelium up` starts them, too.
__USE__use mycelium::execution::end_with_launcher;
use mycelium_bundle::{Bundle, Member};

use std::time::Duration;
use std::{env, process::Command};

fn main() -> Result<()> {
    let topology = Topology::load("processes.toml")?;
    let Some(name) = env::args().nth(1) else { return launch(&topology) };
    let node = __NAME__::node(&name, topology).describe_on_request();
    end_with_launcher(Duration::from_secs(10))?;
__RUN__
}

fn launch(topology: &Topology) -> Result<()> {
    let program = env::current_exe()?;
    let mut bundle = Bundle::new().observe(|event| eprintln!("{event}"));
    let mut before = None;
    for node in topology.nodes() {
        let (program, name) = (program.clone(), node.to_owned());
        let member = Member::new(node, move || {
            let mut command = Command::new(&program);
            command.arg(&name);
            command
        });
        // Sources end first, so that all that they have sent is read.
        bundle = bundle.member(before.into_iter().fold(member, Member::ends_after));
        before = Some(node);
    }
    bundle.run()?;
    Ok(())
}
