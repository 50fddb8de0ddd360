//! After any damage of any word of a region, a reader gets an error, or a view that is at most as
//! long as before.

use mycelium_transports::counters::{
    CountersView, PublisherValue, Region, ServiceValue, ViewError,
};

/// Returns the words of a region with two segments.
fn region() -> Vec<Vec<u64>> {
    let region = Region::new(16);
    let publisher = region.line("topic=swaps publisher=Feed epoch=7");
    publisher.set(PublisherValue::Sent, 9);
    publisher.count(PublisherValue::Waited);
    let _lines: Vec<_> =
        (0..30).map(|number| region.line::<ServiceValue>(&format!("service={number}"))).collect();
    region.dump()
}

/// Reads the words as a region.
fn read(segments: &[Vec<u64>]) -> Result<(), ViewError> {
    let words: usize = segments.iter().map(Vec::len).sum();
    let view = CountersView::of_dump(segments)?;
    assert!((view.lines.len() + view.torn) * 3 <= words && view.kinds.len() * 2 <= words);
    let values: usize = view.lines.iter().map(|line| line.values.len()).sum();
    assert!(values <= words);
    let _ = view.readings();
    Ok(())
}

#[test]
fn damage_of_each_word_alone_is_found_or_harmless() {
    let mut segments = region();
    read(&segments).unwrap();
    let mut refused = Vec::new();
    for segment in 0..segments.len() {
        for word in 0..segments[segment].len() {
            let honest = segments[segment][word];
            let lies = [0, !honest, honest ^ 1, honest.wrapping_add(1000), u64::MAX / 16];
            for lie in lies.into_iter().filter(|lie| *lie != honest) {
                segments[segment][word] = lie;
                if let Err(error) = read(&segments) {
                    refused.push((word, error.to_string()));
                }
            }
            segments[segment][word] = honest;
        }
    }
    for word in [0, 1, 5, 6, 7, 9, 10, 11, 12, 13, 64, 1536, 1537, 1538, 1539] {
        assert!(refused.iter().any(|(it, _)| *it == word), "a lie in word {word} is found");
    }
    for (word, text) in [
        (0, "no region of counters: expected 0x746e636c6563796d in word 0, found 0x00000000000000"),
        (1, "unknown version of the counters: expected 6, found 0 [M0363]"),
        (5, "truncated counters: the table of kinds ends at word"),
        (10, "expected 1 to 4096 in word 10, the words of the values of a line, found 0 [M0364]"),
        (64, "in word 64, the number of values of a kind"),
        (1537, "invalid counters: the descriptors of segment 0 end at word"),
    ] {
        let all: Vec<_> = refused.iter().filter(|(it, _)| *it == word).collect();
        assert!(all.iter().any(|(_, error)| error.contains(text)), "{word}: {all:#?}");
    }
}

/// The lines and their segment would end beyond the largest number.
#[test]
fn lines_behind_the_last_number_are_refused() {
    for back in [0, 1, 100, 2559] {
        let mut segments = region();
        segments[0][3] = u64::MAX;
        let start = u64::MAX - back;
        segments[0][1536..1540].copy_from_slice(&[start, u64::MAX, start, start]);
        assert!(read(&segments).is_err(), "from word {start}");
    }
}

#[test]
fn a_line_whose_kind_is_not_there_is_torn() {
    let mut segments = region();
    let honest = CountersView::of_dump(&segments).unwrap();
    // This word is the kind of the first line.
    segments[0][2049] = 99;
    let view = CountersView::of_dump(&segments).unwrap();
    assert_eq!((honest.torn, view.torn), (0, 1));
    assert_eq!(view.lines, honest.lines[1..]);
}

#[test]
fn a_kind_has_no_more_values_than_its_words_can_name() {
    let mut segments = region();
    segments[0][64] = 20;
    read(&segments).unwrap();
    segments[0][64] = 21;
    let error = CountersView::of_dump(&segments).unwrap_err();
    let expected = "invalid counters: expected 0 to 20 in word 64, the number of values of a kind";
    assert!(error.to_string().starts_with(expected), "{error}");
}
