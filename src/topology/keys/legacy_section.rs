//! The keys of a section `legacy`, and the errors of invalid values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mycelium_core::legacy::ContractDigest;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_spanned::Spanned;

use crate::topology::keys::addresses::Addresses;
use crate::topology::keys::legacy_config::{OnBadFrame, OnSlowClient};
use crate::topology::keys::link::Trust;
use crate::topology::keys::topic::check_topic;
use crate::topology::keys::values::{Bytes, FromText, Mode, Span, Text, choice};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LegacySection {
    pub(crate) node: Option<Spanned<String>>,
    pub(crate) listen: Option<Spanned<Addresses>>,
    pub(crate) socket: Option<Spanned<PathBuf>>,
    pub(crate) users: Option<Vec<u32>>,
    pub(crate) group: Option<u32>,
    pub(crate) mode: Option<Spanned<Mode>>,
    pub(crate) wire: WireName,
    pub(crate) trust: Option<Text<Trust>>,
    pub(crate) unknown: Option<Text<OnBadFrame>>,
    pub(crate) invalid: Option<Text<OnBadFrame>>,
    pub(crate) slow: Option<Text<OnSlowClient>>,
    pub(crate) connections: Option<Spanned<u32>>,
    pub(crate) timeout: Option<Span>,
    pub(crate) payload: Option<Spanned<Bytes>>,
    pub(crate) queue: Option<Bytes>,
    #[serde(default)]
    pub(crate) types: BTreeMap<Spanned<String>, Spanned<TypeEntry>>,
}

/// The contract digests: `"plain"` for none, or `{ digest = ".." }` with one digest or a list.
#[derive(Clone, Debug)]
pub(crate) struct WireName(pub(crate) Vec<ContractDigest>);

/// The topic of a type: a name, or `{ topic = "..", clients = ".." }`.
#[derive(Clone, Debug)]
pub(crate) struct TypeEntry {
    pub(crate) topic: String,
    pub(crate) from_clients: bool,
    pub(crate) to_clients: bool,
}

impl<'de> Deserialize<'de> for WireName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireName, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Plain(String),
            Digest(DigestTable),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct DigestTable {
            digest: Digests,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Digests {
            One(String),
            More(Vec<String>),
        }
        let digests = match Raw::deserialize(deserializer) {
            Ok(Raw::Plain(text)) if text == "plain" => return Ok(WireName(Vec::new())),
            Ok(Raw::Digest(DigestTable { digest: Digests::One(digest) })) => vec![digest],
            Ok(Raw::Digest(DigestTable { digest: Digests::More(digests) }))
                if !digests.is_empty() =>
            {
                digests
            }
            _ => {
                return Err(D::Error::custom(
                    "invalid wire: expected \"plain\", or { digest = \"..\" } with the digest of the clients' \
                     contract, or a list of them",
                ));
            }
        };
        let parsed = digests.iter().map(|text| {
            ContractDigest::from_hex(text).ok_or_else(|| {
                let text = text.escape_debug();
                D::Error::custom(format!("invalid digest `{text}`: expected 64 hexadecimal digits"))
            })
        });
        parsed.collect::<Result<_, _>>().map(WireName)
    }
}

impl FromText for OnBadFrame {
    fn from_text(text: &str) -> Result<OnBadFrame, String> {
        choice("value", text, &[("drop", OnBadFrame::Drop), ("end", OnBadFrame::End)])
    }
}

impl FromText for OnSlowClient {
    fn from_text(text: &str) -> Result<OnSlowClient, String> {
        choice("value", text, &[("drop", OnSlowClient::Drop), ("end", OnSlowClient::End)])
    }
}

impl<'de> Deserialize<'de> for TypeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TypeEntry, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Topic(String),
            Table(Table),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            topic: String,
            clients: String,
        }
        let (topic, clients) = match Raw::deserialize(deserializer) {
            Ok(Raw::Topic(topic)) => (topic, "both".to_owned()),
            Ok(Raw::Table(Table { topic, clients })) => (topic, clients),
            Err(_) => {
                return Err(D::Error::custom(
                    "invalid type: expected a topic, or { topic = \"..\", clients = \"..\" }",
                ));
            }
        };
        let all = [("send", (true, false)), ("receive", (false, true)), ("both", (true, true))];
        let (from_clients, to_clients) =
            choice("clients", &clients, &all).map_err(D::Error::custom)?;
        check_topic(&topic).map_err(|problem| D::Error::custom(problem.text))?;
        Ok(TypeEntry { topic, from_clients, to_clients })
    }
}
