//! A proxy between two nodes that a test can hold and cut, and that treats connections like a bad
//! network. [`way`](super::way) decides what happens to their bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::way::{End, Fault, Step, Way};

/// Forwards the connections of an address to a target.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    fault: Fault,
    seed: u64,
    /// Whether bytes are held back, in both directions.
    held: bool,
    /// The number of accepted connections.
    connections: u64,
    open: Vec<Arc<Ends>>,
}

/// The sockets of one connection. They are closed when both directions have ended.
struct Ends {
    near: TcpStream,
    far: TcpStream,
}

impl Ends {
    /// Ends both directions, and wakes threads that wait for one of the sockets.
    fn end(&self, end: End) {
        for socket in [&self.near, &self.far] {
            match end {
                End::Fin => _ = socket.shutdown(Shutdown::Both),
                // The reset is sent when the socket is closed.
                End::Reset => {
                    _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
                    _ = socket.shutdown(Shutdown::Read);
                }
            }
        }
    }
}

impl Proxy {
    pub(crate) fn start(listen: &str, target: &str) -> Proxy {
        Proxy::suffering(listen, target, Fault::None, 0)
    }

    /// Returns a proxy whose connections have this fault.
    pub(crate) fn suffering(listen: &str, target: &str, fault: Fault, seed: u64) -> Proxy {
        let (held, open) = (false, Vec::new());
        let state = State { fault, seed, held, connections: 0, open };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
        let (proxy, target) = (Proxy(Arc::new(shared)), target.to_owned());
        let listener = TcpListener::bind(listen).unwrap();
        let own = proxy.clone();
        // The thread ends with the process.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // If the target cannot be reached, the near side sees the end of its connection.
                let Ok(far) = TcpStream::connect(&target) else { continue };
                own.forward(Ends { near, far });
            }
        });
        proxy
    }

    /// Removes the fault, and ends all connections, which may have suffered from it.
    pub(crate) fn heal(&self) {
        self.state().fault = Fault::None;
        self.release();
        self.cut();
    }

    /// Holds all bytes back; neither side can notice.
    pub(crate) fn hold(&self) {
        self.state().held = true;
    }

    /// Lets bytes pass again, first those that were held.
    pub(crate) fn release(&self) {
        self.state().held = false;
        self.0.changed.notify_all();
    }

    /// Ends all connections; the bytes that are on their way are lost.
    pub(crate) fn cut(&self) {
        for open in self.state().open.drain(..) {
            open.end(End::Fin);
        }
        self.0.changed.notify_all();
    }

    /// Returns how many connections were accepted.
    pub(crate) fn connections(&self) -> u64 {
        self.state().connections
    }

    fn wait(&self, holds: impl Fn(&State) -> bool) {
        let mut state = self.state();
        while !holds(&state) {
            state = self.0.changed.wait(state).unwrap();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn forward(&self, ends: Ends) {
        for socket in [&ends.near, &ends.far] {
            socket.set_nodelay(true).unwrap();
        }
        let ends = Arc::new(ends);
        let mut state = self.state();
        let [up, down] = Way::both(&state.fault, state.seed, state.connections);
        state.connections += 1;
        self.0.changed.notify_all();
        if let Some(end) = up.refused() {
            return ends.end(end);
        }
        state.open.push(ends.clone());
        drop(state);
        let (one, other, back) = (self.clone(), self.clone(), ends.clone());
        thread::spawn(move || one.pump(&ends, (&ends.near, &ends.far), up));
        thread::spawn(move || other.pump(&back, (&back.far, &back.near), down));
    }

    fn pump(&self, ends: &Arc<Ends>, (mut from, mut to): (&TcpStream, &TcpStream), mut way: Way) {
        let mut buffer = [0; 512];
        let end = 'open: loop {
            let Ok(read @ 1..) = from.read(&mut buffer) else { break End::Fin };
            let mut left = &mut buffer[..read];
            while !left.is_empty() {
                match way.next(left) {
                    Step::Pass(pause, count) => {
                        if !self.pass(ends, pause) || to.write_all(&left[..count]).is_err() {
                            break 'open End::Fin;
                        }
                        left = &mut left[count..];
                    }
                    Step::Stall => {
                        self.wait(|state| !state.is_open(ends));
                        break 'open End::Fin;
                    }
                    Step::End(end) => break 'open end,
                }
            }
        };
        ends.end(end);
        self.state().open.retain(|open| !Arc::ptr_eq(open, ends));
        self.0.changed.notify_all();
    }

    /// Waits for the pause, and as long as bytes are held. Returns whether the connection is open.
    fn pass(&self, ends: &Arc<Ends>, pause: Duration) -> bool {
        let mut state = self.state();
        if !pause.is_zero() {
            let is_open = |state: &mut State| state.is_open(ends);
            (state, _) = self.0.changed.wait_timeout_while(state, pause, is_open).unwrap();
        }
        while state.held && state.is_open(ends) {
            state = self.0.changed.wait(state).unwrap();
        }
        state.is_open(ends)
    }
}

impl State {
    fn is_open(&self, ends: &Arc<Ends>) -> bool {
        self.open.iter().any(|open| Arc::ptr_eq(open, ends))
    }
}
