//! Layouts, messages and catalogues of a peer whose types are not known: any bytes give an error,
//! or a limited number of values.

use mycelium_transports::link::CatalogueEntry;
use mycelium_transports::untyped::{DEEPEST, FieldKind, Layout, LayoutError, StructView, Value};

/// Reads the bytes of a peer. If the first byte is 0, the rest is a catalogue. Otherwise the rest
/// is the number of bytes of a layout (2 bytes), the layout, and a message.
pub fn untyped(data: &[u8]) {
    match data.split_first() {
        Some((0, bytes)) => catalogue(bytes),
        Some((_, [low, high, bytes @ ..])) => {
            let count = usize::from(u16::from_le_bytes([*low, *high])).min(bytes.len());
            let (form, message) = bytes.split_at(count);
            layout(form, message);
        }
        _ => {}
    }
}

fn catalogue(bytes: &[u8]) {
    let Ok(entries) = CatalogueEntry::parse(bytes) else { return };
    assert!(entries.len() <= bytes.len() / 25, "an entry has a name");
    assert_eq!(CatalogueEntry::to_bytes(&entries), bytes, "there is one form of a catalogue");
}

fn layout(form: &[u8], message: &[u8]) {
    let parsed = Layout::parse(form);
    assert_eq!(parsed, Layout::parse(form), "the same bytes, the same layout");
    let Ok(layout) = parsed else { return };
    let longer = [form, &[0]].concat();
    assert_eq!(Layout::parse(&longer), Err(LayoutError::Trailing { count: 1 }));
    assert!(Layout::parse(&form[..form.len() - 1]).is_err(), "no layout begins another one");
    assert!(layout.size() <= 65_535);
    check(&layout);
    let view = layout.view(message);
    if !layout.has_bodies() {
        assert_eq!(view.is_ok(), message.len() >= layout.size());
    }
    // With the first variants, and without items.
    let zeros = vec![0; layout.size()];
    let zeros = layout.view(&zeros).expect("as long as the layout says");
    for (view, bytes) in view.into_iter().map(|it| (it, message.len())).chain([(zeros, 0)]) {
        // Each value has a byte of the message or of the layout, except within other values.
        assert!(values(&view) <= (bytes + layout.size() + form.len()) * DEEPEST);
        let _ = view.to_string();
    }
}

/// Checks that fields follow each other, up to 7 bytes apart.
fn check(layout: &Layout) {
    let mut end = 0;
    for field in layout.fields() {
        assert_eq!(field.size(), field.kind().size());
        assert!((end..end + 8).contains(&field.offset()));
        end = field.offset() + field.size();
        let mut kind = field.kind();
        while let FieldKind::Array { item, .. }
        | FieldKind::List { item, .. }
        | FieldKind::Option { item, .. }
        | FieldKind::Sequence { item }
        | FieldKind::Map { entry: item } = kind
        {
            assert!(item.size() > 0 || matches!(kind, FieldKind::Option { .. }));
            kind = item;
        }
        match kind {
            FieldKind::Struct(inner) => check(inner),
            FieldKind::Choice(choice) => choice.variants().for_each(|(_, inner)| check(inner)),
            _ => {}
        }
    }
    assert!((end..end + 8).contains(&layout.size()));
}

/// Returns the number of values.
fn values(view: &StructView<'_>) -> usize {
    let mut count = 0;
    for (field, value) in view.fields() {
        count += of(&value);
        if !field.name().contains('.') {
            assert!(view.at(field.name()).is_some());
        }
    }
    count
}

fn of(value: &Value<'_>) -> usize {
    match value {
        Value::Items(items) => {
            let found: Vec<usize> = items.into_iter().map(|item| of(&item)).collect();
            assert_eq!(items.len(), found.len());
            found.into_iter().sum()
        }
        Value::Map(entries) => entries.into_iter().map(|entry| of(&entry)).sum(),
        Value::Struct(inner) | Value::Choice { fields: inner, .. } => 1 + values(inner),
        _ => 1,
    }
}
