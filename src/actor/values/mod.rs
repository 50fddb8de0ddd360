//! What users and other parts of the program see of actors: `error` has why a message was not told
//! and an actor not spawned, `mail` what a mailbox holds, `gone` how an actor ended; `notes` is what
//! a test sees.

mod error;
mod gone;
mod mail;
#[cfg(feature = "testing")]
mod notes;

pub use error::{FindActorError, RemoteActorError, SpawnActorError, TellError};
pub(super) use error::{LONGEST_NAME, NAMES, Severity, is_name};
pub use gone::{ActorEnd, Gone};
pub use mail::{Ask, DeadMail, Mail, WhenFull, told};
#[cfg(feature = "testing")]
pub(crate) use notes::Notes;
#[cfg(feature = "testing")]
pub use notes::{ActorFailure, UnhandledMail};
