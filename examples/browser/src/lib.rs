//! Starts headless Chromium for tests of pages, driven through `chromedriver` by [`fantoccini`].
//!
//! On a machine without the two programs the test is skipped, and says so. Debian has them in the
//! packages `chromium` and `chromium-driver`.
//!
//! ```no_run
//! # async fn test() -> Result<(), browser_test::Error> {
//! let Some(browser) = browser_test::start().await else { return Ok(()) };
//! browser.client().goto("http://127.0.0.1:8080").await?;
//! browser.until("document.title == 'Game'", "the page has its title").await?;
//! browser.screenshot("page.png").await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each start writes the line `tests with a real browser: 1` to standard error, also while the test
//! harness captures output. A CI job adds these lines up, because the tests pass without a browser.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// Any error of the browser, its driver or its files.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long a start, and a condition, may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(100);

/// The flags of Chromium: no window, no sandbox (which a container cannot have), and no requests of
/// its own.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one page. Dropping it kills all of its processes and removes its files.
pub struct Browser {
    client: Client,
    _driver: Driver,
    /// The user data, which is removed after the driver has been dropped.
    _data: TempDir,
}

/// Starts a browser. Returns `None`, and prints the reason, if `chromedriver` or `chromium` is not
/// in `PATH`.
///
/// # Panics
/// If they are there and do not start within 30 seconds.
pub async fn start() -> Option<Browser> {
    let (Some(driver), Some(chromium)) = (find("chromedriver"), find("chromium")) else {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        say(&format!("SKIPPED: {test}: needs `chromedriver` and `chromium` in PATH"));
        return None;
    };
    let started = timeout(DEADLINE, start_programs(&driver, &chromium)).await;
    let browser = started
        .unwrap_or_else(|_| Err(format!("not within {DEADLINE:?}").into()))
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", driver.display()));
    say("tests with a real browser: 1");
    Some(browser)
}

impl Browser {
    /// Returns the client, which has the page.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes the visible part of the page to a file, as PNG.
    ///
    /// # Errors
    /// If the page cannot be drawn or the file cannot be written.
    pub async fn screenshot(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let picture = self.client.screenshot().await?;
        Ok(tokio::fs::write(path, picture).await?)
    }

    /// Waits until an expression of JavaScript is `true`. An expression that throws is not.
    ///
    /// # Errors
    /// After 30 seconds; the error has `what`, and the last value or exception.
    pub async fn until(&self, script: &str, what: &str) -> Result<(), Error> {
        let mut last = "no value".to_owned();
        let met = timeout(DEADLINE, async {
            loop {
                match self.client.execute(&format!("return ({script});"), Vec::new()).await {
                    Ok(Value::Bool(true)) => return,
                    Ok(value) => last = value.to_string(),
                    Err(error) => last = error.to_string(),
                }
                sleep(POLL).await;
            }
        });
        let met = met.await;
        met.map_err(|_| format!("not within {DEADLINE:?}: {what} (`{script}`: {last})").into())
    }
}

/// Starts the driver, and the browser by it.
async fn start_programs(driver: &Path, chromium: &Path) -> Result<Browser, Error> {
    let data = TempDir::with_prefix("browser-")?;
    let (driver, port) = Driver::start(driver).await?;
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
    flags.push(format!("--user-data-dir={}", data.path().display()));
    let options = json!({ "binary": chromium, "args": flags });
    let mut builder = ClientBuilder::new(HttpConnector::new());
    builder.capabilities([("goog:chromeOptions".to_owned(), options)].into_iter().collect());
    let client = builder.connect(&format!("http://127.0.0.1:{port}")).await?;
    Ok(Browser { client, _driver: driver, _data: data })
}

/// The process of `chromedriver`, which leads a process group of its own, with the browser.
struct Driver {
    process: Child,
    /// Open, so that the driver can go on writing to it.
    output: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    /// Starts the driver, at a free port, which is returned, too.
    async fn start(program: &Path) -> Result<(Driver, u16), Error> {
        let mut command = Command::new(program);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.process_group(0).kill_on_drop(true).spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut driver = Driver { process, output: BufReader::new(output).lines() };
        while let Some(line) = driver.output.next_line().await? {
            // ChromeDriver was started successfully on port 38745.
            if let Some((_, port)) = line.split_once("successfully on port ") {
                let port = port.trim_end_matches('.').parse()?;
                return Ok((driver, port));
            }
        }
        Err("it has ended without naming its port".into())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let id = self.process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = id {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Returns the path of a program in `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|path| path.join(program)).find(|path| path.is_file())
}

/// Prints a line that the test harness does not capture.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
