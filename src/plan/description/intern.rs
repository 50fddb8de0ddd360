//! Texts and layouts that live as long as the process. Layouts of messages and names of ports are
//! constants of a program; those of a description are made such constants here, each distinct one
//! once.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::lock::lock;
use mycelium_core::descriptor::Descriptor;

static TEXTS: Mutex<BTreeMap<&'static str, ()>> = Mutex::new(BTreeMap::new());
/// By the JSON of the layout.
static LAYOUTS: Mutex<BTreeMap<String, &'static Descriptor>> = Mutex::new(BTreeMap::new());

/// The same text, for ever.
pub(super) fn text(text: &str) -> &'static str {
    let mut texts = lock(&TEXTS);
    if let Some((known, ())) = texts.get_key_value(text) {
        return known;
    }
    let new: &'static str = Box::leak(text.into());
    texts.insert(new, ());
    new
}

/// The layout with this JSON, which `make` makes at most once.
pub(super) fn layout<E>(
    json: String,
    make: impl FnOnce() -> Result<&'static Descriptor, E>,
) -> Result<&'static Descriptor, E> {
    let mut layouts = lock(&LAYOUTS);
    if let Some(known) = layouts.get(&json) {
        return Ok(known);
    }
    let new = make()?;
    layouts.insert(json, new);
    Ok(new)
}
