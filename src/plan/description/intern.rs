//! Interned texts and layouts, which live as long as the process. A program has the layouts of its
//! messages and the names of its ports as constants. For a description, this module creates such
//! constants, once for each distinct text or layout.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::lock::lock;
use mycelium_core::descriptor::Descriptor;

static TEXTS: Mutex<BTreeMap<&'static str, ()>> = Mutex::new(BTreeMap::new());
/// The layouts, by their JSON.
static LAYOUTS: Mutex<BTreeMap<String, &'static Descriptor>> = Mutex::new(BTreeMap::new());

/// Returns an equal text that lives as long as the process.
pub(super) fn text(text: &str) -> &'static str {
    let mut texts = lock(&TEXTS);
    if let Some((known, ())) = texts.get_key_value(text) {
        return known;
    }
    let new: &'static str = Box::leak(text.into());
    texts.insert(new, ());
    new
}

/// Returns the layout with this JSON. `make` creates it, at most once in the process.
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
