//! Notifications of a service to its manager, in systemd's format: datagrams to the socket in
//! `NOTIFY_SOCKET`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The environment variables that a manager sets for a service. Members do not get them.
pub const VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// The manager of this service, if there is one.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Manager {
    /// Returns the manager that has started this process, or `None`.
    ///
    /// # Errors
    /// If the environment has an invalid socket.
    pub fn of_environment() -> io::Result<Option<Manager>> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let is_for_us = match env::var("WATCHDOG_PID") {
            Ok(pid) => pid.parse() == Ok(std::process::id()),
            Err(_) => true,
        };
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| is_for_us);
        let watchdog = watchdog.and_then(|time| time.parse().ok()).filter(|time| *time > 0);
        Manager::new(&name, watchdog.map(Duration::from_micros)).map(Some)
    }

    fn new(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Manager> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => {
                let problem = "expected an absolute path, or `@` and a name";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            }
        };
        let socket = UnixDatagram::unbound()?;
        // A time limit, so that a manager that does not read delays nobody.
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(Manager { socket, address, watchdog })
    }

    /// Returns the interval of notifications that the service is alive: half of the manager's
    /// limit.
    pub fn watchdog(&self) -> Option<Duration> {
        Some(self.watchdog? / 2)
    }

    /// Sends assignments such as `READY=1`, one per line. They are lost if the manager is gone.
    pub fn notify(&self, state: &str) {
        let _ = self.socket.send_to_addr(state.as_bytes(), &self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_notified() {
        let name = format!("mycelium-notify-{}", std::process::id());
        let path = env::temp_dir().join(&name);
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in
            [(by_path, path.clone().into_os_string()), (by_name, format!("@{name}").into())]
        {
            Manager::new(&address, None).unwrap().notify("READY=1\nSTATUS=up");
            let mut bytes = [0; 100];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1\nSTATUS=up");
        }
        std::fs::remove_file(&path).unwrap();
        // The manager is gone: nothing happens.
        Manager::new(path.as_os_str(), None).unwrap().notify("STOPPING=1");
        for name in ["relative/path", "vsock:2:1234", &format!("/{}", "x".repeat(200))] {
            assert!(Manager::new(OsStr::new(name), None).is_err(), "{name}");
        }
    }
}
