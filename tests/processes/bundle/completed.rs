//! Members that have completed stay completed: no node waits for them. A reader that is restarted
//! gets its messages.

use std::iter;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use mycelium_bundle::{BundleError, BundleEvent, BundleHandle, BundleReport, Member, MemberPhase};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::bundle::pipeline::{COUNT, DIRECTORY, DOES};
use crate::bundle::{PATIENCE, Running, SOON, Said, Speaking, kill, program, speaking};
use crate::support::Directory;

/// A running source, middle and sink, with their own directory.
struct Pipeline {
    handle: BundleHandle,
    running: Option<Running>,
    events: Receiver<BundleEvent>,
    said: Said,
    directory: Directory,
}

impl Pipeline {
    /// Starts a pipeline; `does` configures the first process of `member`.
    fn start(test: &str, member: &'static str, does: &'static str) -> Pipeline {
        Pipeline::of(test, member, does, "sink", |command| command)
    }

    /// Starts a pipeline with another role for the sink, and with commands that `wrap` changes.
    fn of(
        test: &str,
        member: &'static str,
        does: &'static str,
        sink: &'static str,
        wrap: impl Fn(Command) -> Command + Copy + Send + 'static,
    ) -> Pipeline {
        let directory = Directory::new(&format!("bundle-{test}"));
        let mut speaking = speaking();
        for (name, feeders) in [("source", &[][..]), ("middle", &["source"]), ("sink", &["middle"])]
        {
            let (writer, place) = (speaking.writer.try_clone().unwrap(), directory.0.clone());
            let mut is_first = true;
            let command = move || {
                let role = if name == "sink" { sink } else { name };
                let mut command = wrap(program(role, name));
                command.stdout(writer.try_clone().unwrap()).env(DIRECTORY, &place);
                if std::mem::take(&mut is_first) && name == member {
                    command.env(DOES, does);
                }
                command
            };
            let member = Member::new(name, command).restart(SOON);
            let member = feeders.iter().fold(member, |member, feeder| member.ends_after(feeder));
            speaking.bundle = speaking.bundle.member(member);
        }
        let (handle, running) = speaking.run();
        let Speaking { events, said, .. } = speaking;
        Pipeline { handle, running: Some(running), events, said, directory }
    }

    fn signal(&self, member: &str, signal: Signal) {
        kill(self.handle.pid(member).unwrap(), signal);
    }

    /// Waits until a member exits.
    fn exit(&self, member: &str) {
        let mut events = iter::from_fn(|| self.events.recv_timeout(PATIENCE / 2).ok());
        let is_it = |event| matches!(event, BundleEvent::Exited { member: it, .. } if it == member);
        assert!(events.any(is_it), "{member} exits");
    }

    /// Waits until a process reports this text.
    fn until(&self, what: &str) {
        while self.said.next() != what {}
    }

    /// Waits for the end of all members, and returns their remaining reports and the bundle's
    /// report.
    fn end(mut self) -> (Vec<String>, Result<BundleReport, BundleError>) {
        let rest = self.said.rest();
        (rest, self.running.take().unwrap().join().unwrap())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.handle.stop();
        // After a failed test, the sink may still be stopped.
        if let Some(sink) = self.handle.pid("sink").filter(|_| self.running.is_some()) {
            kill(sink, Signal::CONT);
        }
        let _ = self.running.take().map(JoinHandle::join);
    }
}

fn outcomes(report: &BundleReport) -> Vec<(&str, MemberPhase, u64)> {
    let members = report.members.iter();
    members.map(|member| (&*member.name, member.phase, member.starts)).collect()
}

#[test]
fn a_reader_that_starts_again_after_its_publisher_completed_gets_an_end() {
    let pipeline = Pipeline::start("killed", "middle", "stays");
    pipeline.exit("source");
    pipeline.signal("middle", Signal::KILL);
    let (said, report) = pipeline.end();
    let report = report.unwrap();
    let done = MemberPhase::Completed;
    assert_eq!(outcomes(&report), [("source", done, 1), ("middle", done, 2), ("sink", done, 1)]);
    assert!(!report.stopped);
    assert!(said.iter().any(|line| line.starts_with("sink got ")), "{said:?}");
}

#[test]
fn a_reader_that_stands_still_for_long_gets_all_that_was_sent() {
    let pipeline = Pipeline::start("stopped", "source", "waits");
    pipeline.until("sink got the first");
    let sink = pipeline.handle.pid("sink").unwrap();
    kill(sink, Signal::STOP);
    let sink = Pid::from_raw(i32::try_from(sink).unwrap()).unwrap();
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    retry_on_intr(|| waitid(WaitId::Pid(sink), options)).unwrap();
    // The source now sends the rest of the messages.
    pipeline.signal("source", Signal::USR1);
    pipeline.exit("source");
    // By then, the middle has waited much longer than it would for an unknown reader.
    pipeline.until("middle has lost its reader");
    pipeline.signal("sink", Signal::CONT);
    let (said, report) = pipeline.end();
    let done = MemberPhase::Completed;
    let all = ["source", "middle", "sink"].map(|name| (name, done, 1));
    assert_eq!(outcomes(&report.unwrap()), all);
    assert!(said.contains(&format!("sink got {COUNT}")), "{said:?}");
    assert!(!said.contains(&"sink gap".to_owned()), "{said:?}");
}

/// The launcher knows the process id of the shell, which is not the node's.
#[test]
fn nodes_that_a_shell_runs_have_their_names() {
    let wrap = |inner: Command| {
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\" \"$@\"; exit $?"]);
        command.arg(inner.get_program()).args(inner.get_args());
        let variables = inner.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(variables);
        command
    };
    let (said, report) = Pipeline::of("wrapped", "nobody", "", "sink", wrap).end();
    assert!(report.unwrap().members.iter().all(|member| member.starts == 1));
    assert!(said.contains(&format!("sink got {COUNT}")), "{said:?}");
}

#[test]
fn a_process_that_the_launcher_did_not_start_has_no_name_of_a_member() {
    let pipeline = Pipeline::of("impostor", "nobody", "", "wait", |command| command);
    pipeline.until("sink waits");
    let mut impostor = program("sink", "impostor");
    impostor.env(DIRECTORY, &pipeline.directory.0).stdout(Stdio::null());
    let mut impostor = impostor.spawn().unwrap();
    pipeline.until("middle refuses a name");
    impostor.kill().unwrap();
    impostor.wait().unwrap();
}

#[test]
fn a_failure_while_the_bundle_ends_is_its_error() {
    let mut bundle = speaking().with("wait", "source", &[]).with("fail-at-the-end", "sink", &[]);
    let (handle, running) = bundle.started::<2>();
    handle.stop();
    let error = running.join().unwrap().unwrap_err();
    let expected = "member `sink` failed while the bundle ended: exit status: 5 [M0406]";
    assert_eq!(error.to_string(), expected);
}
