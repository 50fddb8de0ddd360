//! What the method of a call returns: its reply; or a [`mycelium::Result`](crate::Result), whose
//! error fails the actor.
//!
//! The type decides, and not its name (but in generic actors: see `returns` in the macro). In the
//! macro's code, `Probe::<R>::FAILS` is the constant of the impl below if `R` is a
//! `mycelium::Result`, and that of the trait [`Plain`] otherwise, because an inherent constant takes
//! precedence.
#![expect(missing_docs, reason = "what the macro writes, hidden from users")]

use std::marker::PhantomData;

use crate::error::Result;

pub struct Probe<R>(PhantomData<R>);

impl<T> Probe<Result<T>> {
    pub const FAILS: bool = true;
}

pub trait Plain {
    const FAILS: bool = false;
}

impl<R> Plain for Probe<R> {}

/// A return type that is a `mycelium::Result`, or another one.
pub struct Returns<const FAILS: bool>;

pub trait Outcome<R> {
    type Reply;

    fn outcome(returned: R) -> Result<Self::Reply>;
}

impl<R> Outcome<R> for Returns<false> {
    type Reply = R;

    #[inline]
    fn outcome(returned: R) -> Result<R> {
        Ok(returned)
    }
}

impl<T> Outcome<Result<T>> for Returns<true> {
    type Reply = T;

    #[inline]
    fn outcome(returned: Result<T>) -> Result<T> {
        returned
    }
}
