//! Bandit as a bundle of processes: `bandit bundled` makes one of itself for each node of the
//! topology, and serves the recorded day to the one that asks for it.

use std::{
    env, fs,
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::Duration,
};

use bandit::{
    app::{self, Options, Run},
    feed::Feed,
    report,
};
use futures_channel::oneshot;
use mycelium::bundle::{Bundle, Event, Member, Outcome, end_with_launcher};
use mycelium_executor::Executor;

use crate::{MemberArgs, RunArgs, clearer, say};

/// A node has five seconds to end.
const GRACE: Duration = Duration::from_secs(10);

/// Runs all nodes of the topology as processes, until they have done their work.
pub(crate) async fn launch(
    args: RunArgs,
    executor: Arc<dyn Executor>,
) -> Result<(), Box<dyn std::error::Error>> {
    let program = env::current_exe()?;
    let options = args.options(None);
    let nodes = app::bundle(&options).map_err(clearer)?;
    let room = Room::new()?;
    let (url, feed) = match &options.url {
        Some(url) => (url.clone(), None),
        None => {
            let recording = app::load(options.recording.as_deref()).map_err(clearer)?;
            let feed = Arc::new(Feed::new(recording, options.feed.clone()));
            let served = app::serve(feed, "127.0.0.1:0", executor.clone()).await;
            let (running, address) = served.map_err(clearer)?;
            (format!("ws://{address}"), Some(running))
        }
    };
    let begin = executor.now();
    // That one is restarted stands in the log.
    let mut bundle = Bundle::new().observe(|event| match event {
        Event::Restarting { .. } => {}
        event => say(&event.to_string()),
    });
    for (node, sources) in &nodes {
        let command = {
            let (program, args, node) = (program.clone(), args.clone(), node.clone());
            let (url, room, mut again) = (url.clone(), room.0.clone(), false);
            move || {
                let again = mem::replace(&mut again, true);
                args.member(Command::new(&program), &node, &url, &room, again)
            }
        };
        let member = Member::new(node, command);
        bundle =
            bundle.member(sources.iter().fold(member, |member, source| member.ends_after(source)));
    }
    // It blocks until its processes have ended.
    let (tell, told) = oneshot::channel();
    executor.blocking(Box::new(|| drop(tell.send(bundle.run()))))?;
    let report = told.await??;
    if let Some(feed) = feed {
        feed.shutdown();
        feed.join().await?;
    }
    let starts: u64 = report.members.iter().map(|member| member.starts).sum();
    let completed = report.members.iter().all(|member| member.outcome == Outcome::Completed);
    let end = if completed { "done" } else { "ended" };
    say(&format!(
        "{end} in {:.1?}: {} processes, {} restarts",
        executor.now() - begin,
        report.members.len(),
        starts.saturating_sub(report.members.len() as u64)
    ));
    if let Some(path) = options.signals.filter(|_| completed) {
        say(&format!("signals    written to {}", path.display()));
    }
    Ok(())
}

/// Runs one node of the bundle. Its last line is the node's own figures.
pub(crate) async fn member(
    member: MemberArgs,
    executor: Arc<dyn Executor>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    end_with_launcher(GRACE)?;
    let MemberArgs { node, directory, again, run } = member;
    let options = run.options(Some(app::Member { node: node.clone(), directory, again }));
    let run = match Run::prepare(&options, &executor).await {
        Ok(run) => run,
        Err(failure) if failure.is_permanent() => {
            let _ = writeln!(io::stderr(), "error: {node}: {failure}");
            return Ok(ExitCode::from(Bundle::NO_RESTART));
        }
        Err(failure) => return Err(clearer(failure).into()),
    };
    let (board, begin) = (run.board.clone(), executor.now());
    run.finish(executor.clone()).await.map_err(clearer)?;
    let snapshot = board.figures().snapshot(executor.now() - begin);
    say(&format!("{node}: {}", report::member(&snapshot)));
    Ok(ExitCode::SUCCESS)
}

/// Where the processes of one bundle meet: a directory of its own, gone with it.
struct Room(PathBuf);

impl Room {
    fn new() -> io::Result<Self> {
        let path = mycelium::own_directory(&format!("bandit-{}", std::process::id()));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self(path)),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What is left there is of no use to anybody, and in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl RunArgs {
    /// The command that runs one node of the bundle.
    fn member(
        &self,
        mut command: Command,
        node: &str,
        url: &str,
        room: &Path,
        again: bool,
    ) -> Command {
        command.args(["member", node, "--directory"]).arg(room).args(["--url", url]);
        command.args(["--executor", self.executor.name()]);
        if again {
            command.arg("--again");
        }
        let files = [
            ("--signals", &self.signals),
            ("--database", &self.database),
            ("--topology", &self.topology),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                command.arg(name).arg(path);
            }
        }
        if let Some(seed) = self.faults {
            command.args(["--faults", &seed.to_string()]);
        }
        command
    }

    /// What is to run, as a whole or as one process of a bundle.
    pub(crate) fn options(&self, member: Option<app::Member>) -> Options {
        Options {
            url: self.url.clone(),
            feed: self.replay.settings(),
            recording: self.replay.recording.clone(),
            database: self.database.clone(),
            signals: self.signals.clone(),
            topology: self.topology.clone(),
            member,
            faults: self.faults,
        }
    }
}
