//! `bandit load`: sends the recorded swaps at a fixed rate to the processes of a topology, and
//! prints what was measured.

use std::{
    fs, io,
    net::TcpListener,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Member, Options},
    ethereum::feed::{Feed, Settings},
    ethereum::offer::Offer,
    load,
};
use clap::{Args, ValueEnum};
use mycelium::{Error, Result};
use mycelium_executor::Executor;
use rustix::time::{ClockId, clock_gettime};

use crate::bundled::{self, Directories, RunArgs};
use crate::certificates;
use crate::executors::ExecutorKind;
use crate::output::{say, tell};

/// The options of a measurement.
#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Swaps per second, or `max`: each one as soon as the last one is sent.
    #[arg(long, value_parser = rate)]
    rate: std::option::Option<NonZeroU64>,
    /// Measure for this time, such as 5s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    seconds: Duration,
    /// Send swaps for this time before, which are not measured.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// How the services run.
    #[arg(long, value_enum, default_value_t)]
    topology: Shape,
}

/// A topology, to which the meter is added.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// One process, which saves no states (bandit.toml).
    #[default]
    Process,
    /// Three processes that share memory (bundled.toml).
    Shm,
    /// Three processes that are joined by Unix sockets.
    Unix,
    /// Three hosts that are joined by TLS (distributed.toml): each is this machine.
    Tls,
}

fn rate(text: &str) -> std::result::Result<Option<NonZeroU64>, String> {
    let rate = if text == "max" { Ok(None) } else { text.parse().map(Some) };
    rate.map_err(|_| "expected a whole number above 0, or `max`".to_owned())
}

/// Runs the processes under load, and prints what was measured. The lines of the processes go to
/// standard error.
pub(crate) async fn measure(args: LoadArgs, executor: Arc<dyn Executor>) -> Result<()> {
    let LoadArgs { rate, seconds, warm_up, topology } = args;
    let offer = Offer { rate, warm_up, measured: seconds };
    let directories = Directories::new()?;
    let (path, hosts) = topology.write(&directories.state)?;
    let receipts = directories.state.join("receipts");
    let member = Member {
        directory: directories.sockets.clone(),
        state: (topology != Shape::Process).then(|| directories.state.clone()),
        receipts: Some(receipts.clone()),
        ..Member::default()
    };
    let options = Options { topology: Some(path), member: Some(member), ..Options::default() };
    let nodes = app::bundle(&options, &hosts)?;
    let feed = Arc::new(Feed::new(Settings { offer: Some(offer), ..Settings::default() }, false));
    let origin = executor.wall_clock() - executor.now();
    let (url, served) = app::serve(feed.clone(), &executor).await?;
    let run = RunArgs { options, executor: ExecutorKind::default() };
    let (environment, stdout) = ([("BANDIT_URL", url)], || io::stderr().into());
    let report = bundled::run(&run, nodes, &environment, tell, stdout, &executor).await?;
    served.shutdown();
    served.join().await?;
    if report.stopped {
        return Err(Error::msg("the measurement was ended early"));
    }
    let mut line = load::measured(&feed, &feed.sent(), &offer, &receipts, origin)?;
    // This process has no service: it only sends the swaps.
    let used = clock_gettime(ClockId::ProcessCPUTime);
    line["generator_seconds"] = (used.tv_sec as f64 + used.tv_nsec as f64 / 1e9).into();
    say(&line.to_string());
    Ok(())
}

impl Shape {
    /// Writes the topology to a file in `directory`. Returns its path, and the hosts to start.
    fn write(self, directory: &Path) -> Result<(PathBuf, Vec<String>)> {
        let (text, hosts) = match self {
            Shape::Process => (include_str!("../../../bandit.toml"), &[][..]),
            Shape::Shm | Shape::Unix => (include_str!("../../../bundled.toml"), &[][..]),
            Shape::Tls => {
                let nodes = ["collector", "detector", "writer"].map(str::to_owned);
                certificates::write(&directory.join("certificates"), &nodes)?;
                let hosts = &["exchange", "desk", "archive"][..];
                (include_str!("../../../distributed.toml"), hosts)
            }
        };
        let detector = "\"ArbitrageDetector\"";
        let mut text = text.replace(detector, &format!("{detector}, \"Meter\""));
        if self == Shape::Unix {
            text += "[link.default]\ntransport = \"unix\"\n";
        }
        if self == Shape::Tls {
            for address in ["127.0.0.2:0", "127.0.0.3:0"] {
                let free = TcpListener::bind(address)?.local_addr()?.port();
                text = text.replacen("port = 7400", &format!("port = {free}"), 1);
            }
        }
        let path = directory.join("load.toml");
        fs::write(&path, text)?;
        Ok((path, hosts.iter().map(|host| (*host).to_owned()).collect()))
    }
}
