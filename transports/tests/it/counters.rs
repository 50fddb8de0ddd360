//! Counters that another process reads, of owners that spin, are stopped, are killed, grow, or lie.
#![cfg(all(feature = "metrics", not(miri)))]

// Dumps can be read on any host.
mod damage;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod hostile;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod owners;

/// The longest names do not cut a label: the epoch and the reader are its end.
#[test]
fn readers_with_the_longest_names_have_lines_of_their_own() {
    use mycelium_transports::counters::Region;
    use mycelium_transports::local::{Policy, Schema, Topic};

    #[mycelium_core::message(topic = "ticks", id = 1)]
    struct Tick {
        price: u64,
    }

    let (name, region) = (|last| format!("{}{last}", "n".repeat(61)), Region::new(16));
    let topic = Topic::new(&name('t'), Schema::of::<Tick>(), 8, region.clone()).unwrap();
    let _publisher = topic.publisher::<Tick>(&name('p'), u64::MAX).unwrap();
    let _readers = ['a', 'b'].map(|it| topic.subscribe::<Tick>(&name(it), Policy::Block).unwrap());
    for reader in ['a', 'b'].map(name) {
        let lines = region.read();
        let mut lines = lines.iter().filter(|line| line.label("reader") == reader);
        let line = lines.next().expect("a line of its own");
        assert_eq!((line.label("topic"), line.label("publisher")), (&*name('t'), &*name('p')));
        assert_eq!((line.label("epoch"), lines.count()), ("ffffffffffffffff", 0));
    }
}
