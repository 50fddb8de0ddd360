//! A server of NATS on loopback, with a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ticks::free;

pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    directory: PathBuf,
    child: Child,
}

impl Server {
    /// Starts a server. Returns `None` if there is no program for it here.
    pub(crate) async fn start() -> Option<Server> {
        Server::with("").await
    }

    /// Starts a server with this text in its configuration file.
    pub(crate) async fn with(config: &str) -> Option<Server> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let Some(program) = std::env::var_os("NATS_SERVER") else {
            println!("skipped: the variable NATS_SERVER does not name the program of a server");
            return None;
        };
        let (at, number) = (free(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("mycelium-nats-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let (store, config) =
            (directory.display(), config.replace("DIRECTORY", directory.to_str()?));
        let text = format!("listen: \"{at}\"\njetstream {{ store_dir: \"{store}\" }}\n{config}\n");
        fs::write(directory.join("server.conf"), text).unwrap();
        let child = Server::spawn(&program, &directory);
        let server = Server { at, directory, child };
        server.answers().await;
        Some(server)
    }

    fn spawn(program: &std::ffi::OsStr, directory: &std::path::Path) -> Child {
        let mut command = Command::new(program);
        command.arg("-c").arg(directory.join("server.conf"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    async fn answers(&self) {
        for _ in 0..1000 {
            if TcpStream::connect(self.at).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server does not answer at {}", self.at);
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.at)
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Keeps a copy of the store, after the server was killed.
    pub(crate) fn save_store(&self, name: &str) {
        copy(&self.store(), &self.directory.join(name));
    }

    /// Brings back a copy of the store, after the server was killed.
    pub(crate) fn restore_store(&self, name: &str) {
        fs::remove_dir_all(self.store()).unwrap();
        copy(&self.directory.join(name), &self.store());
    }

    fn store(&self) -> PathBuf {
        self.directory.join("jetstream")
    }

    /// Starts the server again, after it was killed.
    pub(crate) async fn start_again(&mut self) {
        let program = std::env::var_os("NATS_SERVER").unwrap();
        self.child = Server::spawn(&program, &self.directory);
        self.answers().await;
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
