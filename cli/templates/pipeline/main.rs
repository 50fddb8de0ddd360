//! Runs a node of a topology: `__PROGRAM__ [NODE TOPOLOGY]`, by default the one of main.toml.
__USE__
fn main() -> Result<()> {
    // `mycelium check` adds an option.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let name = arguments.next().unwrap_or_else(|| "main".to_owned());
    let topology = arguments.next().unwrap_or_else(|| "main.toml".to_owned());
    let node = __NAME__::node(&name, Topology::load(topology)?).describe_on_request();
__RUN__
}
