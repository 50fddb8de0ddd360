//! Each value of the counters has one name, by the rules of Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use mycelium_telemetry::metrics::names::names;
use mycelium_telemetry::metrics::{Described, described};
use mycelium_transports::counters::Kind;

#[test]
fn each_value_of_each_kind_has_exactly_one_name() {
    let mut seen = BTreeSet::new();
    let mut of_family = BTreeMap::new();
    for kind in Kind::ALL {
        assert_eq!(names(kind).len(), kind.values().len(), "the names of {kind:?}");
        for (name, value) in names(kind).iter().zip(kind.values()) {
            if name.family.is_empty() {
                // Services name these.
                assert!(name.help.is_empty() && name.fixed.is_none(), "{kind:?} {value}");
                continue;
            }
            assert!(seen.insert((name.family, name.fixed)), "{kind:?} {value} has its own name");
            let known = of_family.entry(name.family).or_insert((kind, name.help, name.kind));
            assert_eq!(*known, (kind, name.help, name.kind), "one family, one meaning");
        }
    }
    assert!(seen.len() > 50);
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    let mut all = BTreeSet::new();
    for Described { name, kind, labels, help } in described() {
        assert!(help.ends_with('.'), "{name} has a meaning");
        assert!(!labels.contains(&"node") && !labels.contains(&"le"), "{name}");
        let parts: Vec<&str> = name.split('_').collect();
        assert_eq!(parts[0], "mycelium", "{name}");
        let is_word = |it: &&str| !it.is_empty() && it.chars().all(|c| c.is_ascii_lowercase());
        assert!(parts.iter().all(is_word), "{name}");
        // Ends that the formats add, or that have a meaning for another kind.
        let ends = ["total", "count", "sum", "bucket", "created", "info"];
        assert!(!ends.contains(parts.last().unwrap()), "{name}");
        assert!(all.insert((name, kind.name())), "{name} is described once");
    }
    let unique: BTreeSet<&str> = all.iter().map(|(name, _)| *name).collect();
    assert_eq!(unique.len(), all.len(), "no name has two kinds");
}
