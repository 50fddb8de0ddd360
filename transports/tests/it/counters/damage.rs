//! Any damage of any word of a region: a reader gets an error, or a view that is as long at most.

use mycelium_transports::counters::{CountersView, PublisherValue, Region, ServiceValue};
use proptest::prelude::*;

/// A region with two segments.
fn region() -> Vec<Vec<u64>> {
    let region = Region::new(16);
    let publisher = region.line("topic=swaps publisher=Feed epoch=7");
    publisher.set(PublisherValue::Sent, 9);
    let _lines: Vec<_> =
        (0..30).map(|number| region.line::<ServiceValue>(&format!("service={number}"))).collect();
    region.dump()
}

/// Whether the words are read as a region.
fn is_read(segments: &[Vec<u64>]) -> bool {
    let words: usize = segments.iter().map(Vec::len).sum();
    let Ok(view) = CountersView::of_dump(segments) else { return false };
    assert!((view.lines.len() + view.torn) * 3 <= words && view.kinds.len() * 2 <= words);
    let values: usize = view.lines.iter().map(|line| line.values.len()).sum();
    assert!(values <= words);
    let _ = view.readings();
    true
}

#[test]
fn damage_of_each_word_alone_is_harmless() {
    let mut segments = region();
    assert!(is_read(&segments));
    let mut refused = 0;
    for segment in 0..segments.len() {
        for word in 0..segments[segment].len() {
            let honest = segments[segment][word];
            for lie in [!honest, honest ^ 1, honest.wrapping_add(1000), u64::MAX / 16] {
                segments[segment][word] = lie;
                refused += usize::from(!is_read(&segments));
            }
            segments[segment][word] = honest;
        }
    }
    assert!(refused > 50, "{refused}");
}

/// The ends of the lines and of the segment are beyond all numbers.
#[test]
fn lines_behind_the_last_number_are_refused() {
    for back in [0, 1, 100, 2559] {
        let mut segments = region();
        segments[0][3] = u64::MAX;
        let start = u64::MAX - back;
        segments[0][1536..1540].copy_from_slice(&[start, u64::MAX, start, start]);
        assert!(!is_read(&segments), "from word {start}");
    }
}

#[test]
fn a_line_whose_kind_is_not_there_is_torn() {
    let mut segments = region();
    let honest = CountersView::of_dump(&segments).unwrap();
    // The kind of the first line.
    segments[0][2049] = 99;
    let view = CountersView::of_dump(&segments).unwrap();
    assert_eq!((honest.torn, view.torn), (0, 1));
    assert_eq!(view.lines, honest.lines[1..]);
}

#[test]
fn a_kind_has_no_more_values_than_its_words_can_name() {
    let mut segments = region();
    segments[0][64] = 20;
    assert!(is_read(&segments));
    segments[0][64] = 21;
    let error = CountersView::of_dump(&segments).unwrap_err();
    let expected = "invalid counters: expected 0 to 20 in word 64, the number of values of a kind";
    assert!(error.to_string().starts_with(expected), "{error}");
}

proptest! {
    #[test]
    fn damage_of_many_words_is_harmless(
        damage in prop::collection::vec((0..2usize, 0..3000usize, any::<u64>(), 0..64u32), 1..20),
        kept in 0..5000usize,
    ) {
        let mut segments = region();
        for (segment, word, lie, shift) in damage {
            let segment = &mut segments[segment];
            let length = segment.len();
            // Small numbers are more likely to be believed.
            segment[word % length] = lie >> shift;
        }
        segments[0].truncate(kept);
        is_read(&segments);
    }

    #[test]
    fn any_words_are_harmless(words in prop::collection::vec(any::<u64>(), 0..600)) {
        let mut words = words;
        is_read(&[words.clone()]);
        // Behind the first checks.
        if words.len() > 1 {
            words[0] = u64::from_le_bytes(*b"mycelcnt");
            words[1] = 5;
            words.iter_mut().take(16).skip(2).for_each(|word| *word %= 40);
            is_read(&[words]);
        }
    }
}
