//! Addresses in a topology file: addresses of nodes, with a port, and of hosts, without one.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Addresses with ports: `"10.0.0.1:7400"`, `"[fd00::1]:7400"`, `"feed.example:7400"`, or a list of
/// them.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(pub(crate) Vec<String>);

/// Addresses without ports: `"10.0.0.1"`, `"fd00::1"`, `"feed.example"`, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct HostAddresses(pub(crate) Vec<String>);

/// A port to which others connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port(pub(crate) u16);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Addresses, D::Error> {
        let addresses = one_or_more(deserializer, "10.0.0.1:7400")?;
        addresses.iter().try_for_each(|text| check(text)).map_err(D::Error::custom)?;
        Ok(Addresses(addresses))
    }
}

impl<'de> Deserialize<'de> for HostAddresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HostAddresses, D::Error> {
        let addresses = one_or_more(deserializer, "10.0.0.1")?;
        addresses.iter().try_for_each(|text| check_host(text)).map_err(D::Error::custom)?;
        Ok(HostAddresses(addresses))
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Port, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u16::try_from(number) {
            Ok(port @ 1..) => Ok(Port(port)),
            _ => {
                Err(D::Error::custom(format!("invalid port {number}: expected 1 to {}", u16::MAX)))
            }
        }
    }
}

impl HostAddresses {
    /// Returns each of the addresses with this port.
    pub(crate) fn with_port(&self, Port(port): Port) -> Vec<String> {
        let with_port = |address: &String| match address.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{address}:{port}"),
        };
        self.0.iter().map(with_port).collect()
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
    example: &str,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        One(String),
        More(Vec<String>),
    }
    match Raw::deserialize(deserializer) {
        Ok(Raw::One(one)) => Ok(vec![one]),
        Ok(Raw::More(more)) if !more.is_empty() => Ok(more),
        _ => Err(D::Error::custom(format!(
            "invalid address: expected a text such as \"{example}\", or a list of them"
        ))),
    }
}

fn check(text: &str) -> Result<(), String> {
    let split = text.rsplit_once(':');
    let is_port = |port: &str| port.parse().is_ok_and(|port: u16| port > 0);
    let is_host = |host: &str| match host.strip_prefix('[') {
        Some(rest) => {
            rest.strip_suffix(']').is_some_and(|it| matches!(it.parse(), Ok(IpAddr::V6(_))))
        }
        None => !host.contains(':') && check_host(host).is_ok(),
    };
    if split.is_some_and(|(host, port)| is_host(host) && is_port(port)) {
        return Ok(());
    }
    let mut hint = "";
    if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
        hint = " (an IPv6 address is in brackets)";
    }
    Err(format!(
        "invalid address `{text}`: expected a host and a port, such as `10.0.0.1:7400`{hint}"
    ))
}

fn check_host(text: &str) -> Result<(), String> {
    let is_name = || {
        let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
        !text.is_empty() && text.chars().all(is_plain)
    };
    if text.parse::<IpAddr>().is_ok() || is_name() {
        return Ok(());
    }
    let hint = if text.contains(':') { "; the port is a key of a node (`port`)" } else { "" };
    Err(format!(
        "invalid address `{text}`: expected one without a port, such as `10.0.0.1` or `feed.example`{hint}"
    ))
}
