//! Connections that a test can delay, cut and damage.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream as Socket;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mycelium_executor::Executor;
use mycelium_transports::endpoint::unix;
use mycelium_transports::link::Connect;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::{Place, until};

/// Forwards bytes between a reader and a server.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Ends>);

#[derive(Default)]
struct Ends {
    up: Way,
    down: Way,
    cut: watch::Sender<bool>,
    open: AtomicUsize,
}

/// One direction: to the server, or from it.
#[derive(Default)]
struct Way {
    /// How many more pieces may pass; `None` for no limit.
    pass: watch::Sender<Option<usize>>,
    /// The number of pieces that wait for the limit.
    held: AtomicUsize,
    /// Damage of the next connection: positions of bytes, and the bits that change.
    damage: Mutex<Vec<(usize, u8)>>,
}

impl Wire {
    /// Returns a function that connects through this wire.
    pub(crate) fn connect(&self, executor: Arc<dyn Executor>, place: &Place) -> Connect {
        let (wire, path) = (self.clone(), PathBuf::from(&place.address));
        Box::new(move || {
            let (wire, executor, path) = (wire.clone(), executor.clone(), path.clone());
            Box::pin(async move { executor.unix_stream(wire.through(unix::connect(&path)?)) })
        })
    }

    fn through(&self, there: Socket) -> Socket {
        let (here, near) = Socket::pair().unwrap();
        for socket in [&here, &near, &there] {
            socket.set_nonblocking(true).unwrap();
        }
        let [near, far] = [near, there].map(|socket| UnixStream::from_std(socket).unwrap());
        let ends = self.0.clone();
        ends.open.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let mut cut = ends.cut.subscribe();
            tokio::select! {
                biased;
                _ = cut.wait_for(|cut| *cut) => {}
                () = ends.up.pump(&near, &far) => {}
                () = ends.down.pump(&far, &near) => {}
            }
            ends.open.fetch_sub(1, Ordering::SeqCst);
        });
        here
    }

    /// Limits how many more pieces pass to the server.
    pub(crate) fn limit_up(&self, pieces: Option<usize>) {
        self.0.up.pass.send_replace(pieces);
    }

    /// Limits how many more pieces pass from the server.
    pub(crate) fn limit_down(&self, pieces: Option<usize>) {
        self.0.down.pass.send_replace(pieces);
    }

    /// Damages the next connection: positions of bytes, and the bits that change.
    pub(crate) fn damage(&self, up: Vec<(usize, u8)>, down: Vec<(usize, u8)>) {
        *self.0.up.damage.lock().unwrap() = up;
        *self.0.down.damage.lock().unwrap() = down;
    }

    /// Waits until a piece waits for the limit.
    pub(crate) async fn until_held(&self, what: &str) {
        let held = |way: &Way| way.held.load(Ordering::SeqCst) > 0;
        until(what, || held(&self.0.up) || held(&self.0.down)).await;
    }

    /// Cuts all connections; waiting pieces are lost. New connections have no limits.
    pub(crate) async fn cut(&self) {
        self.0.cut.send_replace(true);
        until("the wire is cut", || self.0.open.load(Ordering::SeqCst) == 0).await;
        self.limit_up(None);
        self.limit_down(None);
        self.0.cut.send_replace(false);
    }
}

impl Way {
    async fn pump(&self, from: &UnixStream, to: &UnixStream) {
        let mut bytes = vec![0; 1 << 16];
        let (damage, mut before) = (std::mem::take(&mut *self.damage.lock().unwrap()), 0);
        let mut may = self.pass.subscribe();
        loop {
            if from.readable().await.is_err() {
                return;
            }
            let count = match from.try_read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(_) => return,
            };
            for (at, bits) in &damage {
                if let Some(byte) = at.checked_sub(before).and_then(|at| bytes[..count].get_mut(at))
                {
                    *byte ^= bits;
                }
            }
            before += count;
            if *may.borrow() == Some(0) {
                self.held.fetch_add(1, Ordering::SeqCst);
            }
            if may.wait_for(|may| *may != Some(0)).await.is_err() {
                return;
            }
            self.pass.send_modify(|pass| *pass = pass.map(|pass| pass.saturating_sub(1)));
            let mut rest = &bytes[..count];
            while !rest.is_empty() {
                if to.writable().await.is_err() {
                    return;
                }
                match to.try_write(rest) {
                    Ok(count) => rest = &rest[count..],
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
    }
}
