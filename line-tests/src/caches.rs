//! The caches of some cores, by the MESI protocol: which core has which line, in which state, and
//! what the core requests.
//!
//! Every cache is fully associative, has the same number of lines, and evicts the least recently
//! used line. Memory has every line. Time and store buffers are not modelled: an access ends before
//! the next one begins, in the order in which a script runs the cores.

/// The number of bytes in a cache line.
pub const LINE: usize = 64;
/// The number of lines that each simulated cache holds: half of the lines of one lap of a measured
/// ring.
pub const CACHE_LINES: usize = 128;
/// The number of lines of one lap.
pub const LAP_LINES: usize = 2 * CACHE_LINES;

/// The requests of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read requests: a load, or a prefetch for one, of a line that is not in this core's cache.
    pub reads: u64,
    /// Requests for ownership with data: a store, or a prefetch for one, to a line that is not in
    /// this core's cache.
    pub owns: u64,
    /// Requests to own without data: a store to a line that is in this core's cache, and may be in
    /// another one.
    pub upgrades: u64,
    /// **Lines that change hands**: the requests, of the first two kinds, for a line that another
    /// core's cache has, so that the data comes from there. For the other requests it comes from
    /// memory.
    pub transfers: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Only this cache has the line, and memory has older data.
    Modified,
    /// Only this cache has the line.
    Exclusive,
    /// Other caches may have the line.
    Shared,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    line: usize,
    state: State,
}

/// The caches of all cores.
#[derive(Debug)]
pub struct Caches {
    /// For each core the lines in its cache, the most recently used one at the end.
    held: Vec<Vec<Held>>,
    lines: usize,
    counts: Vec<Counts>,
}

impl Caches {
    /// Creates empty caches of `lines` lines each.
    pub fn new(cores: usize, lines: usize) -> Caches {
        Caches {
            held: vec![Vec::with_capacity(lines + 1); cores],
            lines,
            counts: vec![Counts::default(); cores],
        }
    }

    /// The requests of each core so far.
    pub fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// Simulates that `core` reads in `line`.
    pub fn load(&mut self, core: usize, line: usize) {
        if let Some(held) = self.take(core, line) {
            return self.put(core, held);
        }
        self.counts[core].reads += 1;
        let mut state = State::Exclusive;
        for held in self.held.iter_mut().flatten().filter(|held| held.line == line) {
            held.state = State::Shared;
            state = State::Shared;
        }
        self.counts[core].transfers += u64::from(state == State::Shared);
        self.put(core, Held { line, state });
    }

    /// Simulates that `core` writes in `line`.
    pub fn store(&mut self, core: usize, line: usize) {
        let own = self.take(core, line);
        let mut elsewhere = false;
        for cache in &mut self.held {
            let before = cache.len();
            cache.retain(|held| held.line != line);
            elsewhere |= cache.len() < before;
        }
        let counts = &mut self.counts[core];
        match own.map(|held| held.state) {
            Some(State::Modified | State::Exclusive) => {}
            // The cache does not know whether another cache still has the line.
            Some(State::Shared) => counts.upgrades += 1,
            None => {
                counts.owns += 1;
                counts.transfers += u64::from(elsewhere);
            }
        }
        self.put(core, Held { line, state: State::Modified });
    }

    fn take(&mut self, core: usize, line: usize) -> Option<Held> {
        let cache = &mut self.held[core];
        let index = cache.iter().rposition(|held| held.line == line)?;
        Some(cache.remove(index))
    }

    fn put(&mut self, core: usize, held: Held) {
        let cache = &mut self.held[core];
        cache.push(held);
        if cache.len() > self.lines {
            cache.remove(0);
        }
    }
}
