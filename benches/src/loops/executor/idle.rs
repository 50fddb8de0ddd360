//! What a node costs that has nothing to do: time of the processor, and how often its threads wake.

use std::collections::BTreeMap;
use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::host::{Host, inside};
use super::services::waiting;
use crate::harness::Mismatch;
use crate::loops::counts::{Count, Counted};

/// A node on an executor, with services that wait for each other.
pub(crate) struct Idle<H> {
    pub(crate) name: &'static str,
    pub(crate) host: PhantomData<H>,
}

/// After so long, whatever its start takes is done.
const SETTLED: Duration = Duration::from_millis(50);

impl<H: Host> Counted for Idle<H> {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Watches for so many milliseconds.
    fn count(&mut self, milliseconds: usize) -> Result<Vec<Count>, Mismatch> {
        let (tell, told) = mpsc::channel();
        let host = thread::Builder::new().name("idle-node".into()).spawn(move || {
            inside::<H, _>(async move |executor| {
                let running = waiting().start(executor).expect("it has all it needs");
                let (end, ended) = tokio::sync::oneshot::channel::<()>();
                let _ = tell.send(end);
                let _ = ended.await;
                running.shutdown();
                running.join().await.is_ok()
            })
        });
        let host = host.expect("the system gives a thread");
        let end = told.recv().map_err(|_| Mismatch::new(self.name, "the node failed"))?;
        thread::sleep(SETTLED);
        let before = spent();
        thread::sleep(Duration::from_millis(milliseconds as u64));
        let after = spent();
        let _ = end.send(());
        if !matches!(host.join(), Ok(Some(true))) {
            return Err(Mismatch::new(self.name, "the node failed"));
        }
        let (mut time, mut wakes) = (0, 0);
        for (thread, spent) in after {
            // Who is new has spent it all meanwhile. Who has gone is of the round before.
            let earlier = before.get(&thread).copied().unwrap_or_default();
            time += spent.0 - earlier.0;
            wakes += spent.1 - earlier.1;
        }
        Ok(vec![
            Count::new("microseconds of the processor", time as f64 / 1e3).within(0.0),
            Count::new("wakes", wakes as f64).within(0.0),
        ])
    }
}

/// How many nanoseconds each thread but the calling one has run, and how often it has gone to sleep.
fn spent() -> BTreeMap<PathBuf, (u64, u64)> {
    let here = rustix::thread::gettid().as_raw_nonzero().to_string();
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let others = tasks.map(|task| task.path()).filter(|path| !path.ends_with(&here));
    let each = others.map(|path| {
        let ran = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let ran: u64 = ran.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let switches = status.lines().find_map(|line| {
            line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok()
        });
        (path, (ran, switches.unwrap_or(0)))
    });
    each.collect()
}
