//! The keys of the section `telemetry`, and the address of a node's metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_spanned::Spanned;

use crate::topology::keys::values::{FromText, Span};

/// The settings of telemetry that all nodes share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TelemetrySection {
    pub(crate) expose: Option<Spanned<bool>>,
    pub(crate) interval: Option<Spanned<Interval>>,
    pub(crate) label_sets: Option<Spanned<LabelSets>>,
    pub(crate) sample: Option<Share>,
    pub(crate) traces: Option<Spanned<String>>,
    pub(crate) metrics: Option<Spanned<String>>,
    pub(crate) headers: Option<Spanned<BTreeMap<Spanned<String>, Spanned<String>>>>,
    pub(crate) namespace: Option<Spanned<String>>,
    pub(crate) timeout: Option<Spanned<Interval>>,
    pub(crate) flush: Option<Spanned<Span>>,
}

/// A time that is not 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval(pub(crate) Duration);

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(pub(crate) f64);

/// A number of sets of label values, at least 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelSets(pub(crate) usize);

/// Parses an address of this host, or an address that other hosts can reach.
impl FromText for SocketAddr {
    fn from_text(text: &str) -> Result<SocketAddr, String> {
        let address = text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0);
        address.ok_or_else(|| {
            format!(
                "invalid address `{text}`: expected an IP address and a port, such as \
                 `127.0.0.1:9464`"
            )
        })
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        match Span::deserialize(deserializer)? {
            Span(Duration::ZERO) => {
                Err(D::Error::custom("invalid duration 0s: expected more than 0 s"))
            }
            Span(interval) => Ok(Interval(interval)),
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Share, D::Error> {
        match f64::deserialize(deserializer)? {
            share if (0.0..=1.0).contains(&share) => Ok(Share(share)),
            share => {
                let message = format!("invalid share {share}: expected a number from 0 to 1");
                Err(D::Error::custom(message))
            }
        }
    }
}

impl<'de> Deserialize<'de> for LabelSets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LabelSets, D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Err(D::Error::custom("invalid number of label sets 0: expected 1 or more")),
            most => Ok(LabelSets(most as usize)),
        }
    }
}
