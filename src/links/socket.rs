//! The sockets of nodes: where one listens, and how another reaches it.

pub(crate) use system::LONGEST_PATH;
pub(super) use system::{Socket, connect};

#[cfg(target_os = "linux")]
mod system {
    use std::path::Path;
    use std::sync::Arc;

    use mycelium_executor::{Executor, Listener, Peer};
    use mycelium_transports::exchange::Connect;
    pub(crate) use mycelium_transports::unix::LONGEST_PATH;
    use mycelium_transports::unix::{self, Allowed, Bound};

    /// Where a node listens, and who may connect. The socket is removed with it.
    pub(crate) struct Socket {
        bound: Bound,
        allowed: Allowed,
    }

    impl Socket {
        /// Listens at a path for processes of these users, or of its own.
        pub(crate) fn at(path: &Path, users: Option<&[u32]>) -> Result<Socket, String> {
            let bound = Bound::at(path).map_err(|error| error.to_string())?;
            let allowed = match users {
                Some(users) => Allowed::users(users.iter().copied()),
                None => bound.own_user(),
            };
            Ok(Socket { bound, allowed })
        }

        pub(crate) fn listener(&self, executor: &dyn Executor) -> Result<Listener, String> {
            let socket = self.bound.socket().and_then(|socket| executor.unix_listener(socket));
            socket.map_err(|error| error.to_string())
        }

        pub(crate) fn welcome(&self, peer: &Peer) -> Result<(), String> {
            self.allowed.check(peer).map_err(|error| error.to_string())
        }
    }

    pub(crate) fn connect(executor: Arc<dyn Executor>, path: &Path) -> Connect {
        let path = path.to_owned();
        Box::new(move || {
            let (executor, path) = (executor.clone(), path.clone());
            Box::pin(async move { executor.unix_stream(unix::connect(&path)?) })
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io::ErrorKind;
    use std::path::Path;
    use std::sync::Arc;

    use mycelium_executor::{Executor, Listener, Peer};
    use mycelium_transports::exchange::Connect;

    /// No path is too long for a socket that there is not.
    pub(crate) const LONGEST_PATH: usize = usize::MAX;

    const NONE: &str = "nodes are joined on Linux only, so far: run all services in one node";

    /// There is none: nobody can be listened to.
    pub(crate) enum Socket {}

    impl Socket {
        pub(crate) fn at(_: &Path, _: Option<&[u32]>) -> Result<Socket, String> {
            Err(NONE.to_owned())
        }

        pub(crate) fn listener(&self, _: &dyn Executor) -> Result<Listener, String> {
            match *self {}
        }

        pub(crate) fn welcome(&self, _: &Peer) -> Result<(), String> {
            match *self {}
        }
    }

    pub(crate) fn connect(_: Arc<dyn Executor>, _: &Path) -> Connect {
        Box::new(|| Box::pin(async { Err(ErrorKind::Unsupported.into()) }))
    }
}
