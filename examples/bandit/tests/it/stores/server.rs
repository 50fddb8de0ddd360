//! Stores for tests: SQLite files, and servers on loopback with directories of their own. The
//! variables `POSTGRES_SERVER`, `POSTGRES_DATA` and `REDIS_SERVER`, which `.ci/jobs/stores` sets,
//! name their programs. A test without its server is skipped.

use std::{
    env, fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::park_timeout,
    time::Duration,
};

use tempfile::TempDir;

/// The attempts of a condition, with a pause after each.
const ATTEMPTS: u32 = 1200;
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Redis,
}

pub(crate) struct Store {
    pub(crate) kind: Kind,
    directory: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Store {
    /// All stores of this program, started.
    pub(crate) fn all() -> Vec<Store> {
        let mut stores = Self::servers();
        stores.iter_mut().for_each(Store::start);
        stores.insert(0, Self::sqlite());
        stores
    }

    pub(crate) fn sqlite() -> Store {
        Self { kind: Kind::Sqlite, directory: tempfile::tempdir().unwrap(), port: 0, server: None }
    }

    /// The servers, not started: their stores can be away.
    pub(crate) fn servers() -> Vec<Store> {
        let postgres = (Kind::Postgres, cfg!(feature = "postgres"));
        let redis = (Kind::Redis, cfg!(feature = "redis"));
        [postgres, redis]
            .into_iter()
            .filter_map(|(kind, is_built)| Self::new(kind, is_built))
            .collect()
    }

    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    fn new(kind: Kind, is_built: bool) -> Option<Store> {
        let Some(program) = variable(kind, "SERVER").filter(|_| is_built) else {
            let name = format!("{kind:?}").to_uppercase();
            println!(
                "skipped {kind:?}: no feature, or the variable {name}_SERVER names no program"
            );
            return None;
        };
        assert!(program.is_absolute());
        let directory = tempfile::tempdir().unwrap();
        // The server may run as another user.
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        if let Some(data) = variable(kind, "DATA") {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(data).arg(directory.path().join("data"));
            assert!(copy.status().unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Some(Self { kind, directory, port, server: None })
    }

    pub(crate) fn start(&mut self) {
        // A server of Postgres that was killed may still have processes. Then a new one ends.
        for _ in 0..ATTEMPTS {
            let child =
                self.server.get_or_insert_with(|| command(self.kind, &self.directory, self.port));
            if child.try_wait().unwrap().is_some() {
                self.server = None;
            } else if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            park_timeout(PAUSE);
        }
        panic!("the server does not answer");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            server.wait().unwrap();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("pools.sqlite")
    }

    pub(crate) fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The URL with another port, that of a proxy.
    pub(crate) fn url_at(&self, port: u16) -> String {
        match self.kind {
            Kind::Sqlite => format!("sqlite:{}", self.path().display()),
            Kind::Postgres => format!("postgres://postgres:secret@127.0.0.1:{port}/postgres"),
            Kind::Redis => format!("redis://127.0.0.1:{port}"),
        }
    }

    /// Changes the store by the tool of its users: statements of SQL, or commands of Redis.
    pub(crate) fn execute(&self, sql: &str, commands: &str) {
        let mut tool = match self.kind {
            Kind::Sqlite => {
                rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
                return;
            }
            Kind::Postgres => {
                let mut tool = Command::new("psql");
                tool.args(["-q", "-v", "ON_ERROR_STOP=1", &self.url()]);
                tool
            }
            Kind::Redis => {
                let mut tool = Command::new("redis-cli");
                tool.args(["-e", "-p", &self.port.to_string()]);
                tool
            }
        };
        let text = if self.kind == Kind::Postgres { sql } else { commands };
        let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(tool.wait().unwrap().success(), "{text:.200}");
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.kill();
    }
}

fn variable(kind: Kind, name: &str) -> Option<PathBuf> {
    env::var_os(format!("{kind:?}_{name}").to_uppercase()).map(Into::into)
}

fn command(kind: Kind, directory: &TempDir, port: u16) -> Child {
    let program = variable(kind, "SERVER").unwrap();
    let (mut command, path) = (Command::new(program), directory.path().to_str().unwrap());
    let port = port.to_string();
    match kind {
        Kind::Sqlite => unreachable!("it has no server"),
        Kind::Postgres => {
            let data = format!("{path}/data");
            command.args(["-D", &data, "-p", &port, "-c", "listen_addresses=127.0.0.1"]);
            command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
            // In files below its directory: one that is killed would leave its segments in /dev/shm.
            command.args(["-c", "dynamic_shared_memory_type=mmap"]);
        }
        Kind::Redis => {
            command.args(["--bind", "127.0.0.1", "--port", &port, "--dir", path]);
            command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        }
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
