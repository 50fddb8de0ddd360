//! The values of actors that users and other parts of the program see. `error` says why a message
//! was not told and why an actor was not spawned, `call` why a call has no reply, `mail` has the
//! items of a mailbox, `gone` says how an actor ended; `notes` is for tests.

mod call;
mod error;
mod gone;
mod mail;
#[cfg(feature = "testing")]
mod notes;

pub use call::CallError;
pub use error::{FindActorError, RemoteActorError, SpawnActorError, TellError};
pub(super) use error::{LONGEST_NAME, NAMES, Severity, is_name};
pub use gone::{ActorEnd, Gone};
pub use mail::{Ask, DeadMail, Mail, MailContent, WhenFull};
#[cfg(feature = "testing")]
pub(crate) use notes::Notes;
#[cfg(feature = "testing")]
pub use notes::{ActorFailure, UnhandledMail};
