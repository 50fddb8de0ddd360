//! Three hosts on this machine: network namespaces that are joined by a bridge, which root can make.
//! Others get one host, loopback.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use mycelium::{Error, Result};

pub const HOSTS: [&str; 3] = ["exchange", "desk", "archive"];
/// Where the server is.
const HUB: &str = "10.79.0.1";
const PORT: u16 = 4222;

/// The hosts. Dropping it removes them.
pub struct Hosts {
    /// The first part of the names of the namespaces; `None` on loopback.
    spaces: Option<String>,
    /// The port of the server.
    port: u16,
}

impl Hosts {
    /// Makes the hosts, and writes into the directory how their nodes reach the server and each other.
    pub fn new(directory: &Path) -> Result<Hosts> {
        let name = format!("b{}", std::process::id() % 100_000);
        let mut hosts = Hosts { spaces: None, port: PORT };
        let mut zenoh = "{}".to_owned();
        match ip(&format!("netns add {name}-hub")) {
            Ok(()) => {
                println!(
                    "hosts: the network namespaces {name}-exchange, -desk and -archive (after a \
                     kill -9 they stay: ip netns del {name}-hub, and so on)"
                );
                hosts.spaces = Some(name.clone());
                connect(&name)?;
            }
            Err(problem) => {
                println!("hosts: all on loopback, because there are no namespaces: {problem}");
                hosts.port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                // Each run has a group of its own.
                zenoh = format!(
                    "{{ listen: {{ endpoints: [\"tcp/127.0.0.1:0\"] }}, scouting: {{ multicast: \
                     {{ interface: \"lo\", address: \"224.0.0.224:{}\" }} }} }}",
                    hosts.port
                );
            }
        }
        fs::write(directory.join("zenoh.json5"), zenoh)?;
        let url = format!("nats://{}:{}", hosts.server(), hosts.port);
        fs::write(directory.join("nats.json"), format!("{{ \"url\": \"{url}\" }}"))?;
        Ok(hosts)
    }

    /// Returns the address of the server.
    fn server(&self) -> &str {
        if self.spaces.is_some() { HUB } else { "127.0.0.1" }
    }

    /// Returns the arguments of the server.
    pub fn server_arguments(&self) -> [String; 4] {
        ["-a".to_owned(), self.server().to_owned(), "-p".to_owned(), self.port.to_string()]
    }

    /// Returns a command that runs a program on a host, or where the server is.
    pub fn command(&self, host: &str, program: &Path) -> Command {
        let Some(name) = &self.spaces else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{name}-{host}")]).arg(program);
        command
    }

    /// Parts a host from the others, or joins it again. Returns whether this is possible here.
    pub fn part(&self, host: &str, is_parted: bool) -> Result<bool> {
        let Some(name) = &self.spaces else { return Ok(false) };
        let state = if is_parted { "down" } else { "up" };
        ip(&format!("-n {name}-hub link set {host} {state}"))?;
        Ok(true)
    }
}

/// Connects the namespaces with this first part of their names.
fn connect(name: &str) -> Result<()> {
    let hub = format!("{name}-hub");
    ip(&format!("-n {hub} link add hub type bridge"))?;
    ip(&format!("-n {hub} addr add {HUB}/24 dev hub"))?;
    ip(&format!("-n {hub} link set hub up"))?;
    for (host, number) in HOSTS.iter().zip(2..) {
        let space = format!("{name}-{host}");
        ip(&format!("netns add {space}"))?;
        ip(&format!("-n {hub} link add {host} type veth peer name net0 netns {space}"))?;
        ip(&format!("-n {hub} link set {host} master hub up"))?;
        ip(&format!("-n {space} addr add 10.79.0.{number}/24 dev net0"))?;
        ip(&format!("-n {space} link set net0 up"))?;
        ip(&format!("-n {space} link set lo up"))?;
        // Where multicast goes, by which peers of Zenoh find each other.
        ip(&format!("-n {space} route add default dev net0"))?;
    }
    Ok(())
}

fn ip(arguments: &str) -> Result<()> {
    let failed = |problem: &str| Error::msg(format!("ip {arguments}: {problem}"));
    let done = Command::new("ip").args(arguments.split(' ')).output();
    let done = done.map_err(|error| failed(&error.to_string()))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&done.stderr).trim())),
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let Some(name) = &self.spaces else { return };
        for host in HOSTS.iter().chain([&"hub"]) {
            let _ = ip(&format!("netns del {name}-{host}"));
        }
    }
}
