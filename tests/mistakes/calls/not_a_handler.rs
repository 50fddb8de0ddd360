//! A type in `routes!` that does not handle the message.
//!
//! Implement `Handler` for this message, or `AsyncHandler` and write `async` before the type in the
//! list.

struct Risk;

routes! {
    Fast: { Tick => [Risk] }
}
