//! How messages travel between services.
//!
//! [`local`] joins the services of one process: one broadcast ring for each publisher of a topic, subscriptions that
//! merge them, and the bells between the two. [`counters`] is where all that was sent, taken and dropped is written
//! down. [`exchange`] carries topics between processes, over [streams of bytes](stream); `unix` is where processes of one
//! machine meet. `conformance` (a feature) is what every transport promises, as tests that are generic over it.
//!
//! Adapters of executors and transports never see each other: a transport needs a [`Waker`](std::task::Waker) and no
//! more.
#![forbid(unsafe_code)]

#[cfg(all(feature = "conformance", unix))]
pub mod conformance;
pub mod counters;
pub mod endpoint;
pub mod exchange;
pub mod local;
pub mod stream;
mod sync;

/// Where processes of this user meet that share a `name`: a directory of the user's own, below the one that the system
/// gives it (`XDG_RUNTIME_DIR`) or else below the one for temporary files. It may not be there yet.
#[must_use]
pub fn private_directory(name: &str) -> std::path::PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        Some(directory) => std::path::PathBuf::from(directory).join(format!("mycelium-{name}")),
        None => {
            #[cfg(target_os = "linux")]
            let user = endpoint::unix::own_user().to_string();
            #[cfg(not(target_os = "linux"))]
            let user = "user";
            std::env::temp_dir().join(format!("mycelium-{user}-{name}"))
        }
    }
}
