//! The locations of panics: a hook records the location for the panicking thread, and then calls
//! the previous hook, which prints the panic.

use std::any::Any;
use std::cell::RefCell;
use std::panic;
use std::sync::Once;

use mycelium_core::Code;

thread_local! {
    /// The last panic of this thread.
    static LAST: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

struct Noted {
    text: String,
    place: String,
}

/// Sets the hook that records the locations of panics. A program that sets a hook later should call
/// this one from its own; otherwise texts of panics have no locations.
pub(crate) fn note_places() {
    static HOOK: Once = Once::new();
    // Sets no hook on a panicking thread, because that would panic.
    if std::thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if let Some(place) = panic.location() {
                let text = panic.payload_as_str().unwrap_or(NO_TEXT).to_owned();
                let noted = Noted { text, place: place.to_string() };
                // Ignores an error: the thread may be ending.
                let _ = LAST.try_with(|last| last.replace(Some(noted)));
            }
            before(panic);
        }));
    });
}

pub(crate) type Panic = Box<dyn Any + Send>;

/// Calls user code, and returns its panic. Takes a `dyn` function, so that it is compiled once
/// instead of for each type of service.
pub(crate) fn caught(call: &mut dyn FnMut()) -> Result<(), Panic> {
    panic::catch_unwind(panic::AssertUnwindSafe(call))
}

/// Catches, when dropped, a panic in the drop of a user's instance. Without this, the process would
/// abort if a value of the run has panicked just before, while the task was dropped.
pub(crate) struct Held<T>(pub(crate) Option<T>);

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        drop(caught(&mut || self.0 = None));
    }
}

const NO_TEXT: &str = "(no message)";

/// Returns the text of a panic that this thread has just caught, and its location, such as
/// `src/main.rs:31:9`, if it is known: a resumed panic has none.
pub(crate) fn text_and_place(panic: Panic) -> (String, Option<String>) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or(NO_TEXT).to_owned();
    let noted = LAST.try_with(RefCell::take).ok().flatten();
    // The value of a panic may panic when it is dropped.
    let mut panic = Some(panic);
    drop(caught(&mut || panic = None));
    let noted = noted.filter(|noted| noted.text == text);
    (text, noted.map(|noted| noted.place))
}

/// Returns the text of an error or panic with the location of the panic. An error code at the end
/// stays at the end.
pub(crate) fn with_place(text: &str, place: Option<&str>) -> String {
    let Some(place) = place else { return text.to_owned() };
    let (text, code) = Code::split(text);
    let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
    format!("{text} (at {place}){code}")
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, panic_any, resume_unwind};

    use super::*;

    fn told(panics: impl FnOnce() + panic::UnwindSafe) -> (String, Option<String>) {
        text_and_place(catch_unwind(panics).expect_err("it panics"))
    }

    #[test]
    fn a_panic_has_the_place_of_its_macro_and_one_that_is_resumed_has_none() {
        note_places();
        let (text, place) = told(|| panic!("no {}", "luck"));
        let here = format!("{}:{}:", file!(), line!() - 1);
        assert_eq!(text, "no luck");
        assert!(place.as_ref().is_some_and(|it| it.starts_with(&here)), "{place:?} in {here}");
        let (text, place) = told(|| panic_any(7));
        assert_eq!(text, NO_TEXT);
        assert!(place.is_some());
        // The location of an earlier, caught panic must not be used for this one.
        let _ = catch_unwind(|| panic!("another one"));
        assert_eq!(told(|| resume_unwind(Box::new("no luck"))), ("no luck".to_owned(), None));
    }
}
