//! The tokens with which processes are expected to connect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::connection::Handler;
use crate::memory::packet::{RefusedHello, Token};

use crate::sync::lock;

/// Creates a token that nobody can guess.
///
/// # Panics
/// If the system has no random numbers.
#[must_use]
pub fn random_token() -> Token {
    let mut token = [0; 16];
    let filled = rustix::rand::getrandom(&mut token, rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(token.len()), "the system gives this number of bytes at once");
    token
}

/// The handlers of expected connections, by token.
pub(super) struct Tokens(Mutex<Option<HashMap<Token, Expected>>>);

struct Expected {
    process: Option<u32>,
    handler: Arc<dyn Handler>,
}

impl Tokens {
    pub(super) fn new() -> Tokens {
        Tokens(Mutex::new(Some(HashMap::new())))
    }

    pub(super) fn insert(&self, token: Token, process: Option<u32>, handler: Arc<dyn Handler>) {
        let replaced = match &mut *lock(&self.0) {
            Some(tokens) => tokens.insert(token, Expected { process, handler }),
            None => Some(Expected { process, handler }),
        };
        // Dropped without the lock, as the handler may do anything in its drop.
        drop(replaced);
    }

    /// Takes the handler of a token, which is used up then.
    pub(super) fn remove(&self, token: &Token) -> Option<Arc<dyn Handler>> {
        lock(&self.0).as_mut()?.remove(token).map(|expected| expected.handler)
    }

    /// Takes the handler of a token that `process` has sent, unless the token is for another
    /// process.
    pub(super) fn take(
        &self,
        token: &Token,
        process: Option<u32>,
    ) -> Result<Arc<dyn Handler>, RefusedHello> {
        let mut tokens = lock(&self.0);
        let tokens = tokens.as_mut().ok_or(RefusedHello::Token)?;
        let expected = tokens.get(token).ok_or(RefusedHello::Token)?;
        if expected.process.is_some() && expected.process != process {
            return Err(RefusedHello::Token);
        }
        tokens.remove(token).map(|expected| expected.handler).ok_or(RefusedHello::Token)
    }

    /// Drops all handlers. Handlers that are added later are dropped at once.
    pub(super) fn close(&self) {
        let tokens = lock(&self.0).take();
        drop(tokens);
    }
}
