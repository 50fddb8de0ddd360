//! The sockets of nodes: where one listens, and how another reaches it.

pub(super) use system::{Socket, connect};

#[cfg(target_os = "linux")]
mod system {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use mycelium_executor::{Executor, Listener, Peer};
    use mycelium_transports::exchange::{Connect, Notice, Observer};
    use mycelium_transports::unix::{self, Access, Allowed, BindError, Bound};

    use crate::error::StartError;
    use crate::topology::socket::Access as Asked;

    /// How often a node checks that its socket is still at its path.
    const RECHECK: Duration = Duration::from_secs(1);

    /// Where a node listens. The socket is removed with it.
    pub(crate) struct Socket {
        bound: Bound,
    }

    impl Socket {
        /// Listens at a path for those who are to reach `node`.
        pub(crate) fn at(node: &str, path: &Path, asked: Asked) -> Result<Socket, StartError> {
            let mut access = Access::default();
            if let Some(users) = asked.users {
                access = access.users(users);
            }
            if let Some(group) = asked.group {
                access = access.group(group);
            }
            if let Some(mode) = asked.mode {
                access = access.mode(mode);
            }
            let node = node.to_owned();
            let bound = Bound::open_to(path, access).map_err(|error| match error {
                BindError::Unreachable { directory, user, .. } => {
                    StartError::Unreachable { node, socket: path.to_owned(), directory, user }
                }
                error => StartError::Link { node, problem: error.to_string() },
            })?;
            Ok(Socket { bound })
        }

        pub(crate) fn listener(&self, executor: &dyn Executor) -> Result<Listener, String> {
            let socket = self.bound.socket().and_then(|socket| executor.unix_listener(socket));
            socket.map_err(|error| error.to_string())
        }

        pub(crate) fn guard(&self) -> Guard {
            Guard(self.bound.allowed())
        }

        /// Ready once the socket has vanished and was made again: its listener. A problem that
        /// prevents this is reported once.
        pub(crate) async fn made_again(
            &mut self,
            executor: &Arc<dyn Executor>,
            observer: &Observer,
        ) -> Listener {
            let (mut is_new, mut told) = (false, String::new());
            loop {
                executor.sleep_until(executor.now() + RECHECK).await;
                match self.renew(&mut is_new, &**executor) {
                    Ok(Some(listener)) => {
                        observer(Notice::Rebound { path: self.bound.path() });
                        return listener;
                    }
                    Ok(None) => told.clear(),
                    Err(problem) if problem != told => {
                        observer(Notice::Unbound { path: self.bound.path(), problem: &problem });
                        told = problem;
                    }
                    Err(_) => {}
                }
            }
        }

        /// Makes the socket again if it has vanished. Returns a listener of the new socket, or `None`
        /// if the previous one is still at its path. `is_new`: there is a new socket, which has no
        /// listener yet.
        fn renew(
            &mut self,
            is_new: &mut bool,
            executor: &dyn Executor,
        ) -> Result<Option<Listener>, String> {
            let restored = self.bound.restore().map_err(|error| error.to_string());
            *is_new |= restored?;
            if *is_new { self.listener(executor).map(Some) } else { Ok(None) }
        }
    }

    /// Who may connect.
    pub(crate) struct Guard(Allowed);

    impl Guard {
        pub(crate) fn check(&self, peer: &Peer) -> Result<(), String> {
            self.0.check(peer).map_err(|error| error.to_string())
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
    use mycelium_transports::exchange::{Connect, Observer};

    use crate::error::StartError;
    use crate::topology::socket::Access;

    const NONE: &str = "nodes are joined on Linux only, so far: run all services in one node";

    /// There is none: nobody can be listened to.
    pub(crate) enum Socket {}

    impl Socket {
        pub(crate) fn at(node: &str, _: &Path, _: Access) -> Result<Socket, StartError> {
            Err(StartError::Link { node: node.to_owned(), problem: NONE.to_owned() })
        }

        pub(crate) fn listener(&self, _: &dyn Executor) -> Result<Listener, String> {
            match *self {}
        }

        pub(crate) fn guard(&self) -> Guard {
            match *self {}
        }

        pub(crate) async fn made_again(&mut self, _: &Arc<dyn Executor>, _: &Observer) -> Listener {
            match *self {}
        }
    }

    /// Who may connect: nobody.
    pub(crate) struct Guard;

    impl Guard {
        pub(crate) fn check(&self, _: &Peer) -> Result<(), String> {
            Err(NONE.to_owned())
        }
    }

    pub(crate) fn connect(_: Arc<dyn Executor>, _: &Path) -> Connect {
        Box::new(|| Box::pin(async { Err(ErrorKind::Unsupported.into()) }))
    }
}
