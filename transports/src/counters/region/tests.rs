//! Tests of the region, as its owner and as another process see it.

use super::*;
use crate::counters::view::Layout;
use crate::counters::{
    BucketValue, CountersView, EdgeValue, PublisherValue, RequesterValue, ServiceValue,
};
use crate::memory::PAGE_WORDS;
use crate::sync::{AtomicBool, ForeignWords};

#[test]
fn a_full_region_counts_what_it_cannot_show() {
    let region = Region::with_most(1, 1);
    let lines: Vec<_> = (0..LINES_OF_PAGE + 20).map(|_| region.line("service=X")).collect();
    lines.iter().for_each(|line| line.add(ServiceValue::Starts, 1));
    assert!(lines.iter().all(|line| line.get(ServiceValue::Starts) == 1), "also unseen ones count");
    assert_eq!(region.read().len(), LINES_OF_PAGE);
    assert_eq!(region.unseen(), 20);
    assert_eq!(CountersView::of_dump(&region.dump()).unwrap().unseen, 20, "others know it");
    assert!(region.read().iter().all(|reading| reading.value("starts") == 1));
    // The place of a dropped line is used again, so a later line is visible.
    drop(lines);
    let line = region.line("service=Y");
    line.add(ServiceValue::Starts, 2);
    assert!(region.read().iter().any(|reading| reading.label("service") == "Y"));
    assert_eq!(region.unseen(), 20);
}

#[test]
fn a_value_is_the_sum_of_what_all_threads_count() {
    let each = if cfg!(miri) { 20 } else { 10_000 };
    let region = Region::with_most(16, 16);
    let line = region.line("topic=t requester=r");
    let values = [RequesterValue::Requested, RequesterValue::Replied, RequesterValue::Cancelled];
    let names = ["requested", "replied", "cancelled"];
    let count = || (0..each).for_each(|_| values.iter().for_each(|value| line.count(*value)));
    std::thread::scope(|scope| (0..3).for_each(|_| _ = scope.spawn(count)));
    assert_eq!(values.map(|value| line.get(value)), [3 * each; 3]);
    assert_eq!(names.map(|name| region.read()[0].value(name)), [3 * each; 3]);
    let seen = CountersView::of_dump(&region.dump()).unwrap();
    assert_eq!(names.map(|name| seen.lines[0].value(name)), [Some(3 * each); 3]);
    // The line is replaced by others, and becomes a part of their total.
    drop(line);
    (0..32).for_each(|number| drop(region.line::<RequesterValue>(&format!("topic=t r={number}"))));
    let total = |name| region.read().iter().map(|line| line.value(name)).sum::<u64>();
    assert_eq!(names.map(total), [3 * each; 3]);
}

#[test]
fn second_words_fill_a_line_from_its_end_and_never_overlap_the_first_ones() {
    let of_ten = [0, 5, 6, 9].map(|value| second_word(value, 10, 16));
    assert_eq!(of_ten, [Some(15), Some(10), None, None]);
    // Lines and kinds of another process may have any sizes.
    assert_eq!(
        [second_word(0, 16, 16), second_word(3, 9, 2), second_word(0, 0, 1)],
        [None, None, Some(0)]
    );
}

#[test]
fn only_the_first_thread_that_counts_stores_second_words() {
    let region = Region::new(16);
    let line = region.line("topic=t requester=r");
    let count = |times| {
        line.count_many(RequesterValue::Replied, times);
        line.count_many(RequesterValue::Cancelled, times);
    };
    count(2);
    std::thread::scope(|scope| _ = scope.spawn(|| count(1)));
    count(1);
    let first = region.first.values_of(0);
    let words = &region.dump()[0][first..][..VALUES];
    let [replied, cancelled] =
        [RequesterValue::Replied, RequesterValue::Cancelled].map(Value::index);
    let mut expected = [0; VALUES];
    (expected[replied], expected[VALUES - 1 - replied]) = (1, 3);
    expected[cancelled] = 4; // No word is left for a second one.
    assert_eq!(words, expected);
}

#[test]
fn lines_that_come_and_go_do_not_grow_a_region() {
    // Lines without a writer stay readable, up to a limit.
    let kept = RETIRED as u64 + 16;
    let most = if cfg!(miri) { 2 * kept } else { 50_000 };
    let region = Region::new(16);
    let lasting = region.line("service=lasting");
    lasting.set(ServiceValue::Starts, 7);
    let come_and_go = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let label = format!("topic=swaps publisher={number} epoch=1");
            region.line(&label).set(PublisherValue::Sent, number);
        }
    };
    come_and_go(0..kept);
    let capacity = lock(&region.places).capacity;
    come_and_go(kept..most);
    assert_eq!(lock(&region.places).capacity, capacity);
    assert_eq!(region.unseen(), 0);
    let readings = region.read();
    assert_eq!(readings[0].value("starts"), 7);
    let is_total = |line: &&Reading| line.label == "topic=swaps";
    let (totals, lines): (Vec<_>, Vec<_>) = readings[1..].iter().partition(is_total);
    assert!(lines.iter().all(|line| line.label("publisher") == line.value("sent").to_string()));
    let mut numbers: Vec<u64> = lines.iter().map(|line| line.value("sent")).collect();
    numbers.sort_unstable();
    let first = most - numbers.len() as u64;
    let [total] = totals[..] else { panic!("one total: {totals:?}") };
    assert_eq!(total.value("sent"), (0..first).sum::<u64>(), "the others are in their total");
    assert_eq!(numbers, (first..most).collect::<Vec<_>>(), "the newest ones stay readable");
    assert!(numbers.len() >= RETIRED);
}

/// Publishers that join must not wait for a scrape, which takes long in a large node.
#[test]
fn lines_are_made_while_all_are_read() {
    let region = Region::with_most(16, 1 << 14);
    let reading = lock(&region.lines);
    for number in 0..=RETIRED_WHILE_READ {
        region.line(&format!("topic=t publisher=p{number}")).set(PublisherValue::Sent, 1);
    }
    drop(reading);
    let before = region.read().len();
    for _ in 0..100 {
        region.line("topic=t publisher=p").set(PublisherValue::Sent, 1);
    }
    // Lines are replaced again, and the sum is exact.
    let readings = region.read();
    let sent: u64 = readings.iter().map(|line| line.value("sent")).sum();
    assert_eq!((readings.len(), sent), (before, RETIRED_WHILE_READ as u64 + 101));
}

/// A reader that reads while lines are made, dropped and made again in their places.
#[test]
fn a_reader_never_sees_half_a_line() {
    // Enough rounds and reads for both sides to run at the same time, even on one processor; fewer
    // under Miri, which is slow.
    let (rounds, reads) = if cfg!(miri) { (30, 1) } else { (20_000, 10_000) };
    let is_enough = AtomicBool::new(false);
    // The region is full at once, so that each new line reuses a place.
    let region = Region::with_most(1, 1);
    let names = ["a".repeat(LABEL_BYTES), "b".repeat(48), "c".repeat(7)];
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Limits the number of rounds, because a reader that has failed would never end the
            // loop.
            for round in 0..100 * rounds {
                if round >= rounds && is_enough.load(Ordering::Relaxed) {
                    return;
                }
                let name = &names[round % names.len()];
                match round % 3 {
                    0 => region.line(name).set(PublisherValue::Sent, LABEL_BYTES as u64),
                    1 => drop(region.line_with(name, &[(EdgeValue::JoinedAt, 48)])),
                    _ => region.line(name).set(RequesterValue::Requested, 7),
                }
            }
        });
        // Reads as another process does. The header does not change.
        let words = ForeignWords::new(region.first.words());
        let layout = Layout::of(words).unwrap();
        let listed = layout.listed(words).unwrap();
        let foreign = || layout.read(words, &listed, &[Some(words)]).unwrap();
        let (mut seen, mut left) = (0, reads);
        while !writer.is_finished() || seen == 0 {
            left -= u32::from(left > 0);
            is_enough.store(left == 0, Ordering::Relaxed);
            for reading in [region.read(), foreign().readings()].concat() {
                let name = match reading.kind {
                    Kind::Publisher => &names[0],
                    Kind::Edge => &names[1],
                    Kind::Requester => &names[2],
                    kind => panic!("no {kind:?}"),
                };
                let (first, length) = (reading.values[0], name.len() as u64);
                // The total of replaced lines has an empty label.
                let is_total = reading.label.is_empty() && first % length == 0;
                assert!(is_total || reading.label == *name, "no label is made of two");
                assert!(is_total || first == 0 || first == length);
                assert!(reading.kind != Kind::Edge || first > 0, "its value came with the line");
                assert!(reading.values[1..].iter().all(|value| *value == 0));
                seen += 1;
            }
        }
    });
}

/// A line that is replaced during a read is in the total or in its line, and not in both.
#[test]
fn sums_in_another_process_never_go_back() {
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    let region = Region::with_most(1, 1);
    let reads = AtomicU64::new(0);
    let words = ForeignWords::new(region.first.words());
    let layout = Layout::of(words).unwrap();
    let listed = layout.listed(words).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..rounds {
                // Replaces at most a few lines during a read, which then succeeds.
                let before = reads.load(Ordering::Relaxed);
                let sent = [(PublisherValue::Sent, 1)];
                drop(region.line_with("topic=t publisher=p epoch=1", &sent));
                while reads.load(Ordering::Relaxed) == before {
                    std::thread::yield_now();
                }
            }
        });
        // Judged after the threads, because the writer would wait for a reader that has failed.
        let (mut last, mut wrong) = (0, None);
        while !writer.is_finished() {
            reads.fetch_add(1, Ordering::Relaxed);
            let view = layout.read(words, &listed, &[Some(words)]).unwrap();
            // The writer has lost its processor while it replaces a line.
            if view.torn > 0 {
                continue;
            }
            let sum = view.lines.iter().filter_map(|line| line.value("sent")).sum::<u64>();
            wrong = wrong.or((!(last..=rounds).contains(&sum)).then_some((last, sum)));
            last = sum;
        }
        assert_eq!(wrong, None, "a sum, and the next one");
        assert_ne!(last, 0, "most reads are of no replaced line");
        assert_eq!(region.read().iter().map(|line| line.value("sent")).sum::<u64>(), rounds);
    });
    // The writer may be stopped for ever while it replaces a line.
    region.first.word(REPLACED).store(1, Ordering::Relaxed);
    let view = layout.read(words, &listed, &[Some(words)]).unwrap();
    assert_eq!((view.lines.len(), view.torn), (LINES_OF_PAGE, 1));
}

#[test]
fn a_line_has_nothing_of_the_one_before_in_its_place() {
    let region = Region::with_most(1, 1);
    let longest = "a".repeat(LABEL_BYTES);
    let before: Vec<_> = (0..LINES_OF_PAGE).map(|_| region.line(&longest)).collect();
    for line in &before {
        (0..VALUES).for_each(|value| line.set(BucketValue::new(value), 7));
    }
    drop(before);
    let shorter = |words| "b".repeat(8 * words);
    let _lines: Vec<_> =
        (1..LINES_OF_PAGE).map(|words| region.line::<BucketValue>(&shorter(words))).collect();
    for readings in [region.read(), CountersView::of_dump(&region.dump()).unwrap().readings()] {
        assert_eq!(readings.len(), LINES_OF_PAGE);
        let total = &readings[0];
        assert_eq!((&total.label, total.values), (&longest, [LINES_OF_PAGE as u64 * 7; VALUES]));
        for (words, reading) in readings.iter().enumerate().skip(1) {
            assert_eq!(reading.label, shorter(words));
            assert_eq!(reading.values, [0; VALUES]);
        }
    }
}

#[test]
fn a_line_whose_writer_has_ended_says_so() {
    let region = Region::with_most(1, 1);
    let seen = || {
        let view = CountersView::of_dump(&region.dump()).unwrap();
        view.lines.into_iter().map(|line| (line.generation, line.has_ended)).collect::<Vec<_>>()
    };
    let lines: Vec<_> = (0..2).map(|_| region.line::<ServiceValue>("service=X")).collect();
    assert_eq!(seen(), [(1, false); 2]);
    drop(lines);
    assert_eq!(seen(), [(1, true); 2]);
    // The first place gets the total of both, which does not end; the second one is used again.
    let more = 1..LINES_OF_PAGE;
    let _lines: Vec<_> = more.map(|_| region.line::<ServiceValue>("service=X")).collect();
    assert_eq!((seen()[0], seen()[1], seen().len()), ((2, false), (2, false), LINES_OF_PAGE));
}

#[test]
fn a_line_that_ends_during_a_read_is_read() {
    let count = if cfg!(miri) { 20 } else { RETIRED };
    let region = Region::new(count);
    let lines: Vec<_> = (0..count).map(|_| region.line::<ServiceValue>("service=X")).collect();
    // Reads as another process does. The header does not change.
    let words = ForeignWords::new(region.first.words());
    let layout = Layout::of(words).unwrap();
    let listed = layout.listed(words).unwrap();
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| drop(lines));
        while !ending.is_finished() {
            assert_eq!(region.read().len(), count);
            let view = layout.read(words, &listed, &[Some(words)]).unwrap();
            assert_eq!((view.lines.len(), view.torn), (count, 0));
        }
    });
}

#[test]
fn a_line_outlives_its_region() {
    let region = Region::new(1);
    let (first, hidden) = {
        let lines: Vec<_> = (0..200).map(|_| region.line("service=x")).collect();
        let most = Region::with_most(1, 1);
        let mut hidden: Vec<_> = (0..17).map(|_| most.line("service=y")).collect();
        (lines, hidden.pop().unwrap())
    };
    drop(region);
    for line in first.iter().chain([&hidden]) {
        line.add(ServiceValue::Starts, 7);
        assert_eq!(line.get(ServiceValue::Starts), 7);
    }
}

#[test]
fn a_long_label_is_cut_at_a_character() {
    let region = Region::new(1);
    let label = |letters| format!("x{}", "ä".repeat(letters));
    let _line = region.line::<ServiceValue>(&label(LABEL_BYTES));
    // One byte is left, because the next letter needs two.
    assert_eq!(region.read()[0].label, label(LABEL_BYTES / 2 - 1));
}

#[test]
fn lines_have_cache_lines_of_their_own() {
    let region = Region::new(10);
    let lines: Vec<_> = (0..100).map(|_| region.line::<ServiceValue>("service=x")).collect();
    for segment in region.segments() {
        for index in 0..segment.lines() {
            let address = std::ptr::from_ref(segment.word(segment.values_of(index))).addr();
            assert_eq!(address % 128, 0);
            assert!(segment.values_of(index) % PAGE_WORDS + VALUES <= PAGE_WORDS);
        }
    }
    drop(lines);
}
