//! Makes families from snapshots. A [`Collector`] remembers the counters that it has shown: a
//! counter never decreases, and a set of labels with its own series keeps that series.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mycelium_transports::counters::{Kind, Latency, Reading};

use super::family::{Family, FamilyKind, LABEL_SETS, Labels, OTHER, STATES, Sample, SampleValue};
use super::names::{self, Name, labels, names};
use super::sets::{Add, Others, Sets};
use super::shown::Shown;
use super::snapshot::{HealthOf, Ring, Snapshot};
use super::user;

/// The longest label of a line of counters, in bytes.
const LONGEST: usize = mycelium_transports::counters::LONGEST_LABEL;
/// The number of nanoseconds in a second.
const NANOSECONDS: u64 = 1_000_000_000;

/// Makes families from the snapshots of one node.
///
/// The values of lines with the same labels are added up, for example those of a publisher before
/// and after a restart. At most [`LABEL_SETS`] sets of labels, the first ones seen, have their own
/// series in a family. Further sets of a topic are summed up in one set, the *rest*, with `other`
/// as each value except the topic.
///
/// When the owner of a line is gone, its place may be given to another line. The values of the old
/// line are then in the total of replaced lines, which belongs to the rest, and the counter of the
/// old line would decrease, which Prometheus would take for a restart. The collector keeps the
/// counter at its value and subtracts the same number from the rest, so that the sum of all series
/// is exact.
///
/// ```
/// use mycelium_telemetry::Snapshot;
/// use mycelium_telemetry::metrics::{Collector, SampleValue};
/// use mycelium_transports::counters::{PublisherValue, Region};
///
/// let region = Region::new(16);
/// let line = region.line("topic=swaps publisher=Feed epoch=1");
/// line.set(PublisherValue::Sent, 7);
///
/// let node = "main".to_owned();
/// let snapshot = Snapshot { node, readings: region.read(), ..Snapshot::default() };
/// let families = Collector::new().collect(&snapshot);
/// let sent = families.iter().find(|family| family.name == "mycelium_messages_sent").unwrap();
/// assert_eq!(sent.samples[0].value, SampleValue::Counter(7));
/// let labels: Vec<_> = sent.samples[0].labels().collect();
/// assert_eq!(labels, [("node", "main"), ("topic", "swaps"), ("publisher", "Feed")]);
/// ```
#[derive(Debug)]
pub struct Collector {
    most: usize,
    /// The sets of labels with their own series, by kind of lines or family.
    admitted: HashMap<Cow<'static, str>, HashSet<Labels>>,
    others: Others,
    /// The number of sets over the limit in the current snapshot, by kind of lines or family.
    over_limit: BTreeMap<Cow<'static, str>, usize>,
    /// The counters that were shown, by family: see `shown.rs`.
    shown: HashMap<Cow<'static, str>, Shown>,
}

impl Default for Collector {
    fn default() -> Collector {
        Collector::new()
    }
}

impl Collector {
    /// Creates a collector that has shown nothing, with the default limit.
    pub fn new() -> Collector {
        Collector::with_most(LABEL_SETS)
    }

    /// Creates a collector that has shown nothing, with at most `most` sets of labels in each
    /// family; at least 1.
    pub fn with_most(most: usize) -> Collector {
        let most = most.max(1);
        let others = Others { most, topics: HashSet::new() };
        let (admitted, over_limit, shown) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Collector { most, admitted, others, over_limit, shown }
    }

    /// Returns the families of a snapshot, which must be later than the previous ones.
    pub fn collect(&mut self, snapshot: &Snapshot) -> Vec<Family> {
        let mut families = Families::new(&snapshot.node);
        for kind in Kind::ALL {
            let sets = values_of(kind, snapshot);
            let sets = self.limited(Cow::Borrowed(kind.name()), sets);
            for (labels, values) in &sets {
                families.add_values(kind, labels, values);
            }
            match kind {
                Kind::Service => families.add_repeated(names::RESTARTS, &sets),
                Kind::Link => families.add_repeated(names::RECONNECTS, &sets),
                _ => {}
            }
        }
        self.add_latencies(&mut families, snapshot);
        self.add_rings(&mut families, snapshot);
        self.add_health(&mut families, snapshot);
        let taken = families.sample_names();
        let (own, left_out) = user::families(&snapshot.readings, taken);
        for (family, sets) in own {
            let sets = self.limited(family.name.clone(), sets.into_sets());
            let samples = sets.into_iter().map(|(labels, value)| families.sample(labels, value));
            let samples = samples.collect();
            families.all.push(Family { samples, ..family });
        }
        let none = || Labels::new([]);
        families.add(names::UNSEEN, none(), SampleValue::Counter(snapshot.unseen));
        families.add(names::LEFT_OUT, none(), gauge(left_out));
        for (group, count) in std::mem::take(&mut self.over_limit) {
            families.add(names::OVER_LIMIT, Labels::of([("group", &group)]), gauge(count));
        }
        let Families { node, all: mut families, .. } = families;
        self.keep_counters(&node, &mut families);
        families
    }

    /// Replaces each set over the limit by its rest.
    fn limited<V: Add>(
        &mut self,
        group: Cow<'static, str>,
        sets: Vec<(Labels, V)>,
    ) -> Vec<(Labels, V)> {
        let admitted = self.admitted.entry(group.clone()).or_default();
        let (mut shown, mut rest) = (Vec::with_capacity(sets.len()), Sets::default());
        let mut folded = 0;
        for (labels, value) in sets {
            // Uses the labels from before, so that equal labels share one allocation.
            if let Some(known) = admitted.get(&labels) {
                shown.push((known.clone(), value));
                continue;
            }
            let other = self.others.of(&labels);
            if labels != other && admitted.len() < self.most {
                admitted.insert(labels.clone());
                shown.push((labels, value));
                continue;
            }
            // The total of replaced lines is not over the limit: it already has these labels.
            folded += usize::from(labels != other);
            rest.add(other, value);
        }
        if folded > 0 {
            self.over_limit.insert(group, folded);
        }
        shown.extend(rest.into_sets());
        shown
    }

    fn add_latencies(&mut self, families: &mut Families, snapshot: &Snapshot) {
        let mut sets = Sets::default();
        for Latency { topic, reader, nanoseconds, ahead, .. } in Latency::of(&snapshot.readings) {
            let labels = Labels::of([("topic", named(&topic)), ("reader", named(&reader))]);
            let buckets = Box::new(user::buckets(&nanoseconds, NANOSECONDS));
            sets.add(labels, [SampleValue::Histogram(buckets), SampleValue::Counter(ahead)]);
        }
        for (labels, [latencies, negative]) in
            self.limited(Cow::Borrowed("latency"), sets.into_sets())
        {
            families.add(names::LATENCY, labels.clone(), latencies);
            families.add(names::LATENCY_NEGATIVE, labels, negative);
        }
    }

    fn add_rings(&mut self, families: &mut Families, snapshot: &Snapshot) {
        let (mut rings, mut arenas) = (Sets::default(), Sets::default());
        for ring in &snapshot.rings {
            let Ring { topic, publisher, depth, high_water, capacity, .. } = ring;
            let labels = Labels::of([("topic", topic), ("publisher", publisher)]);
            if ring.arena_bytes > 0 {
                arenas.add(labels.clone(), [ring.arena_bytes, ring.arena_high_water].map(gauge));
            }
            rings.add(labels, [*depth, *high_water, *capacity].map(gauge));
        }
        for (labels, sizes) in self.limited(Cow::Borrowed("ring"), rings.into_sets()) {
            let families_of = [names::RING_DEPTH, names::RING_HIGH_WATER, names::RING_CAPACITY];
            for (family, size) in families_of.into_iter().zip(sizes) {
                families.add(family, labels.clone(), size);
            }
        }
        for (labels, sizes) in self.limited(Cow::Borrowed("arena"), arenas.into_sets()) {
            for (family, size) in
                [names::ARENA_BYTES, names::ARENA_HIGH_WATER].into_iter().zip(sizes)
            {
                families.add(family, labels.clone(), size);
            }
        }
        let depths = depths(snapshot);
        for (labels, depth) in self.limited(Cow::Borrowed("depth"), depths) {
            families.add(names::SUBSCRIPTION_DEPTH, labels, depth);
        }
    }

    fn add_health(&mut self, families: &mut Families, snapshot: &Snapshot) {
        let state = |state| (Cow::Borrowed("state"), String::from(state));
        let (mut services, mut supervisors) = (Sets::default(), Sets::default());
        for reading in &snapshot.health {
            let is = |name: &str| gauge(u8::from(name == reading.state));
            let (sets, key, name) = match &reading.of {
                HealthOf::Node => {
                    STATES.iter().for_each(|name| {
                        families.add(names::HEALTH, Labels::of([("state", name)]), is(name));
                    });
                    continue;
                }
                HealthOf::Service(name) => (&mut services, "service", name),
                HealthOf::Supervisor(name) => (&mut supervisors, "supervisor", name),
            };
            sets.add(Labels::of([(key, name)]), STATES.map(is));
        }
        let groups = [
            ("service health", services, names::SERVICE_HEALTH),
            ("supervisor health", supervisors, names::SUPERVISOR_HEALTH),
        ];
        for (group, sets, family) in groups {
            let limited = self.limited(Cow::Borrowed(group), sets.into_sets());
            for (labels, counts) in limited {
                for (name, count) in STATES.iter().zip(counts) {
                    let labels = Labels::new(labels.pairs.iter().cloned().chain([state(*name)]));
                    families.add(family, labels, count);
                }
            }
        }
    }

    /// Keeps counters at their values if lines have been lost.
    fn keep_counters(&mut self, node: &Arc<str>, families: &mut Vec<Family>) {
        let counters = families.iter_mut().filter(|family| family.kind == FamilyKind::Counter);
        let mut present = HashSet::new();
        let others = &mut self.others;
        for family in counters {
            present.insert(family.name.clone());
            let shown = self.shown.entry(family.name.clone());
            let shown = shown.or_insert_with(|| Shown::of(family));
            shown.keep(node, &mut family.samples, others);
        }
        let absent = self.shown.iter_mut().filter(|(name, _)| !present.contains(*name));
        let mut absent: Vec<Family> = absent.map(|(_, shown)| shown.absent(node, others)).collect();
        absent.sort_by(|one, other| one.name.cmp(&other.name));
        families.append(&mut absent);
    }
}

/// The families of one snapshot.
struct Families {
    node: Arc<str>,
    all: Vec<Family>,
    places: HashMap<&'static str, usize>,
}

impl Families {
    fn new(node: &str) -> Families {
        Families { node: node.into(), all: Vec::new(), places: HashMap::new() }
    }

    fn sample(&self, labels: Labels, value: SampleValue) -> Sample {
        Sample { node: self.node.clone(), labels, fixed: None, value }
    }

    fn add(&mut self, name: Name, labels: Labels, value: SampleValue) {
        let Name { family, help, kind, fixed } = name;
        let sample = Sample { fixed, ..self.sample(labels, value) };
        let Families { all, places, .. } = self;
        let place = *places.entry(family).or_insert_with(|| {
            let has_end =
                |unit: &&str| family.strip_suffix(unit).is_some_and(|it| it.ends_with('_'));
            let unit = ["bytes", "seconds"].into_iter().find(has_end);
            let (name, help) = (Cow::Borrowed(family), Cow::Borrowed(help));
            all.push(Family { name, help, unit, kind, samples: Vec::new() });
            all.len() - 1
        });
        all[place].samples.push(sample);
    }

    /// Adds the values of all lines with this kind and these labels.
    fn add_values(&mut self, kind: Kind, labels: &Labels, values: &Values) {
        for (name, value) in names(kind).iter().zip(values.values) {
            if name.family.is_empty() {
                continue;
            }
            let value = match name.kind {
                FamilyKind::Gauge => SampleValue::Gauge(value.cast_signed()),
                FamilyKind::Counter | FamilyKind::Histogram => SampleValue::Counter(value),
            };
            self.add(*name, labels.clone(), value);
        }
    }

    /// Adds the first value, a number of starts or connections, without the first one: as the
    /// number of restarts or reconnects.
    fn add_repeated(&mut self, name: Name, sets: &[(Labels, Values)]) {
        for (labels, values) in sets {
            // Subtracts one for each set of labels (`started`), because the rest sums up several
            // sets.
            let repeated = values.values[0].saturating_sub(values.started);
            self.add(name, labels.clone(), SampleValue::Counter(repeated));
        }
    }

    /// Returns the names of all samples so far.
    fn sample_names(&self) -> HashSet<String> {
        let names =
            self.all.iter().flat_map(|family| user::sample_names(&family.name, family.kind));
        let derived =
            names::DERIVED.iter().flat_map(|(it, _)| user::sample_names(it.family, it.kind));
        names.chain(derived).collect()
    }
}

/// The values of all lines of one kind with the same labels.
struct Values {
    kind: Kind,
    values: [u64; 16],
    /// The number of sets of labels whose first value is not 0. It is unknown for the total of
    /// replaced lines, where it is set to the first value itself.
    started: u64,
}

impl Add for Values {
    fn add(&mut self, other: &Values) {
        let values = self.values.iter_mut().zip(other.values);
        for ((value, other), name) in values.zip(names(self.kind)) {
            *value = match name.kind {
                FamilyKind::Gauge => other.max(*value),
                FamilyKind::Counter | FamilyKind::Histogram => value.wrapping_add(other),
            };
        }
        self.started += other.started;
    }
}

/// Returns the values of the lines of one kind, by their labels.
fn values_of(kind: Kind, snapshot: &Snapshot) -> Vec<(Labels, Values)> {
    let keys = labels(kind);
    let mut sets = Sets::default();
    // Skips kinds without names: services name their metrics, or their families are made from
    // several lines (latencies).
    let has_names = names(kind).iter().any(|name| !name.family.is_empty());
    for reading in snapshot.readings.iter().filter(|it| it.kind == kind && has_names) {
        let is_total = keys.iter().any(|(of_line, _)| reading.label(of_line).is_empty());
        let started = if is_total { reading.values[0] } else { 0 };
        sets.add(labels_of(reading, keys), Values { kind, values: reading.values, started });
    }
    let mut sets = sets.into_sets();
    for (_, values) in &mut sets {
        values.started += u64::from(values.values[0] > values.started);
    }
    sets
}

fn labels_of(reading: &Reading, keys: &[(&'static str, &'static str)]) -> Labels {
    let label = |(of_line, key): &(&'static str, &'static str)| {
        (Cow::Borrowed(*key), named(reading.label(of_line)).to_owned())
    };
    Labels::new(keys.iter().map(label))
}

/// Returns the value of a label; the empty labels of the total of replaced lines become `other`.
fn named(value: &str) -> &str {
    if value.is_empty() { OTHER } else { value }
}

/// Returns the depth of each present reader of each publisher: the messages sent since the reader
/// joined, minus those that the reader has counted.
fn depths(snapshot: &Snapshot) -> Vec<(Labels, SampleValue)> {
    let of_kind = |kind| snapshot.readings.iter().filter(move |reading| reading.kind == kind);
    let sent: HashMap<&str, u64> =
        of_kind(Kind::Publisher).map(|it| (&*it.label, it.value("sent"))).collect();
    let edges: HashMap<&str, &Reading> =
        of_kind(Kind::Edge).map(|edge| (&*edge.label, edge)).collect();
    let mut sets = Sets::default();
    for ring in &snapshot.rings {
        let Some(sent) = sent.get(cut(&ring.label)) else { continue };
        for reader in &ring.readers {
            let label = format!("{} reader={reader}", ring.label);
            let Some(edge) = edges.get(cut(&label)) else { continue };
            let done = ["taken", "overwritten", "skipped", "dropped", "sampled", "dead_lettered"];
            let left = ["left", "unknown"];
            let done = done.iter().chain(&left).map(|name| edge.value(name));
            let done = done.fold(edge.value("joined_at"), u64::saturating_add);
            // Saturates, because the two lines are not read at the same time.
            let depth = gauge(sent.saturating_sub(done));
            sets.add(labels_of(edge, labels(Kind::Edge)), depth);
        }
    }
    sets.into_sets()
}

/// Cuts a label to the length in a line of counters.
fn cut(label: &str) -> &str {
    &label[..label.floor_char_boundary(LONGEST)]
}

fn gauge<N: TryInto<i64>>(count: N) -> SampleValue {
    SampleValue::Gauge(count.try_into().unwrap_or(i64::MAX))
}
