//! A proxy between two nodes that a test can hold and cut, as a network does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Forwards connections of one address to another one.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    /// No byte passes, in either direction.
    held: bool,
    /// Bytes that have passed from the target.
    passed: usize,
    open: Vec<TcpStream>,
}

impl Proxy {
    pub(crate) fn start(listen: &str, target: &str) -> Proxy {
        let (proxy, target) = (Proxy(Arc::default()), target.to_owned());
        let listener = TcpListener::bind(listen).unwrap();
        let own = proxy.clone();
        // It ends with the process.
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // The near side sees the end of a connection that cannot be made.
                let Ok(far) = TcpStream::connect(&target) else { continue };
                own.forward(near, far);
            }
        });
        proxy
    }

    /// From now on no byte passes: neither side notices.
    pub(crate) fn hold(&self) {
        self.0.0.lock().unwrap().held = true;
    }

    /// Bytes that were held pass.
    pub(crate) fn release(&self) {
        self.0.0.lock().unwrap().held = false;
        self.0.1.notify_all();
    }

    /// Ends all connections, with the bytes that are on their way.
    pub(crate) fn cut(&self) {
        for open in self.0.0.lock().unwrap().open.drain(..) {
            _ = open.shutdown(Shutdown::Both);
        }
    }

    /// Waits until this many bytes have passed from the target, since the start.
    pub(crate) fn wait_for(&self, bytes: usize) {
        let mut state = self.0.0.lock().unwrap();
        while state.passed < bytes {
            state = self.0.1.wait(state).unwrap();
        }
    }

    fn forward(&self, near: TcpStream, far: TcpStream) {
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        self.0.0.lock().unwrap().open.extend([clone(&near), clone(&far)]);
        let (one, other) = (self.clone(), self.clone());
        let (from, to) = (clone(&near), clone(&far));
        thread::spawn(move || one.pump(from, to, false));
        thread::spawn(move || other.pump(far, near, true));
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, is_counted: bool) {
        let mut buffer = [0; 512];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let mut state = self.0.0.lock().unwrap();
            while state.held {
                state = self.0.1.wait(state).unwrap();
            }
            state.passed += if is_counted { read } else { 0 };
            drop(state);
            self.0.1.notify_all();
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        _ = to.shutdown(Shutdown::Both);
        _ = from.shutdown(Shutdown::Both);
    }
}
