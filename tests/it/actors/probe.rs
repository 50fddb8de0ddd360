//! An actor that executes the orders of a test, and records what happened.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use event_listener::Event;
use mycelium::actors::{ActorContext, ActorRef, Actors, Gone, OnError};
use mycelium::supervision::Restart;
use mycelium::{Error, Result, actor, message};
use mycelium_tokio::Tokio;

/// The actions of actors, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(pub(crate) Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn add(&self, what: impl Display) {
        self.0.lock().unwrap().push(what.to_string());
    }

    /// Returns all actions since the last call.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join(" ")
    }
}

/// The hooks of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Made,
    Started,
    Gone,
    Stopped,
    OnError,
    Dropped,
}

/// Executes the orders of a test, and calls its script in each hook.
pub(crate) struct Probe {
    pub(crate) seen: Seen,
    script: Arc<dyn Fn(Hook) -> Result<()> + Send + Sync>,
    pub(crate) on_error: OnError,
    /// What the actor waits for in `stopped`.
    pub(crate) last_wait: Option<Arc<Gate>>,
    /// The sum of the numbers that this instance got.
    #[allow(dead_code, reason = "the laws use it, and need some features")]
    pub(crate) sum: u32,
}

/// Makes the actor call the function.
pub(crate) struct Do(Box<dyn FnOnce(&mut Probe, &mut ActorContext<Probe>) -> Result<()> + Send>);

/// Makes the actor note the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u32);

/// Makes the actor wait in its handler until the gate is open.
pub(crate) struct Wait(pub(crate) Arc<Gate>);

#[message(topic = "probe.asks", id = 900, reply = Reply)]
#[derive(Debug, PartialEq)]
pub(crate) struct Ask {
    pub(crate) value: u64,
}

#[message(topic = "probe.replies", id = 901)]
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) value: u64,
}

/// A request with this value fails in its handler.
pub(crate) const FAIL: u64 = 1_000;

#[actor(send)]
impl Probe {
    fn started(&mut self) -> Result<()> {
        self.seen.add("started");
        (self.script)(Hook::Started)
    }

    #[tell]
    fn job(&mut self, Do(job): Do, ctx: &mut ActorContext<Self>) -> Result<()> {
        job(self, ctx)
    }

    #[tell]
    fn number(&mut self, Number(number): Number) {
        self.seen.add(number);
    }

    #[tell]
    async fn wait(&mut self, Wait(gate): Wait) {
        gate.wait().await;
        self.seen.add("waited");
    }

    #[remote]
    fn answer(&mut self, request: Ask) -> Result<Reply> {
        match request.value {
            FAIL => Err(Error::msg("told to fail")),
            value => Ok(Reply { value: 2 * value }),
        }
    }

    fn gone(&mut self, gone: Gone) -> Result<()> {
        self.seen.add(format_args!("{}: {}", gone.actor, gone.end));
        (self.script)(Hook::Gone)
    }

    async fn stopped(&mut self) {
        self.seen.add("stopped");
        // The script can only panic here: there is no result to return.
        drop((self.script)(Hook::Stopped));
        if let Some(gate) = &self.last_wait {
            gate.wait().await;
        }
    }

    fn on_error(&mut self, error: &Error) -> OnError {
        self.seen.add(format_args!("({error})"));
        drop((self.script)(Hook::OnError));
        self.on_error
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        drop((self.script)(Hook::Dropped));
    }
}

/// Returns a job for [`Do`].
pub(crate) fn job(
    job: impl FnOnce(&mut Probe, &mut ActorContext<Probe>) -> Result<()> + Send + 'static,
) -> Do {
    Do(Box::new(job))
}

/// Returns a job that succeeds.
pub(crate) fn does<T>(
    act: impl FnOnce(&mut Probe, &mut ActorContext<Probe>) -> T + Send + 'static,
) -> Do {
    job(move |probe, ctx| {
        act(probe, ctx);
        Ok(())
    })
}

/// Returns a job that fails.
pub(crate) fn fail() -> Do {
    job(|_, _| Err(Error::msg("told to fail")))
}

/// Returns a job that panics.
pub(crate) fn panics() -> Do {
    job(|_, _| panic!("told to panic"))
}

/// Makes probes whose hooks do nothing.
pub(crate) fn probe(seen: &Seen) -> impl FnMut() -> Probe + Send + use<> + 'static {
    scripted(seen, OnError::Restart, |_| Ok(()))
}

/// Makes probes that call the script in each hook.
pub(crate) fn scripted<F>(
    seen: &Seen,
    on_error: OnError,
    script: F,
) -> impl FnMut() -> Probe + Send + use<F> + 'static
where
    F: Fn(Hook) -> Result<()> + Send + Sync + 'static,
{
    let (seen, script) = (seen.clone(), Arc::new(script));
    move || {
        drop(script(Hook::Made));
        Probe { seen: seen.clone(), script: script.clone(), on_error, last_wait: None, sum: 0 }
    }
}

/// Makes probes that note their name when they start and stop. `others` gets their other actions.
pub(crate) fn named(
    log: &Seen,
    others: &Seen,
    name: &'static str,
) -> impl FnMut() -> Probe + Send + use<> + 'static {
    let log = log.clone();
    scripted(others, OnError::Restart, move |hook| {
        match hook {
            Hook::Started => log.add(format_args!("+{name}")),
            Hook::Stopped => log.add(format_args!("-{name}")),
            Hook::Made | Hook::Gone | Hook::OnError | Hook::Dropped => {}
        }
        Ok(())
    })
}

/// Returns a script that panics in one hook, the first `times` times.
pub(crate) fn panic_in(hook: Hook, times: usize) -> impl Fn(Hook) -> Result<()> + Send + Sync {
    let left = Mutex::new(times);
    move |called| {
        if called == hook {
            let mut left = left.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                drop(left);
                panic!("in {hook:?}");
            }
        }
        Ok(())
    }
}

/// A gate that tasks wait at until it is opened.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Event,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify(usize::MAX);
    }

    pub(crate) async fn wait(&self) {
        loop {
            let opened = self.opened.listen();
            if *self.is_open.lock().unwrap() {
                return;
            }
            opened.await;
        }
    }
}

pub(crate) fn actors() -> Actors {
    Actors::on(Tokio::current().unwrap())
}

/// Makes the actor call the function, and returns the result.
pub(crate) async fn run<T: Send + 'static>(
    probe: &mut ActorRef<Probe>,
    act: impl FnOnce(&mut Probe, &mut ActorContext<Probe>) -> T + Send + 'static,
) -> T {
    let (done, output) = tokio::sync::oneshot::channel();
    probe.tell(does(move |probe, ctx| done.send(act(probe, ctx)))).await.unwrap();
    output.await.unwrap()
}

/// Waits until the actor has handled all earlier messages.
pub(crate) async fn settled(probe: &mut ActorRef<Probe>) {
    run(probe, |_, _| ()).await;
}

/// Makes the actor spawn children that note their names, and waits until they have started.
pub(crate) async fn children<const N: usize>(
    parent: &mut ActorRef<Probe>,
    seen: &Seen,
    names: [&'static str; N],
) -> [ActorRef<Probe>; N] {
    let seen = seen.clone();
    let spawned = run(parent, move |_, ctx| {
        names.map(|name| {
            let make = named(&seen, &Seen::default(), name);
            ctx.spawn_as(make, |child| child.name(name).temporary()).unwrap()
        })
    });
    let mut spawned = spawned.await;
    for child in &mut spawned {
        settled(child).await;
    }
    spawned
}

/// Returns the value of a counter, summed over all probes.
#[cfg(feature = "metrics")]
pub(crate) fn counted(actors: &Actors, value: &str) -> u64 {
    use mycelium::counters::Kind;

    let counters = actors.counters();
    counters.iter().filter(|line| line.kind == Kind::Actor).map(|line| line.value(value)).sum()
}

/// Restarts with pauses that are too short to matter.
pub(crate) fn restarts(limit: u32) -> Restart {
    Restart { limit, ..Restart::default() }
}
