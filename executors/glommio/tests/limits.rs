//! What the machine lacks is said, in a test program of its own: limits are the whole process's.
#![cfg(target_os = "linux")]

use std::sync::mpsc;

use mycelium_executor::{Executor, MakeDedicated, Thread, ThreadError};
use mycelium_glommio::{Glommio, Settings, check, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
#[expect(clippy::print_stdout, reason = "tests say what they leave out")]
fn too_little_memory_that_may_be_locked_is_an_error_that_says_what_to_change() {
    if let Err(lacking) = check() {
        println!("SKIPPED: glommio: {lacking}");
        return;
    }
    let before = getrlimit(Resource::Memlock);
    let (made, gone) = mpsc::channel::<()>();
    let refused = run(&Settings::default(), async move |executor: Glommio| {
        let little = Rlimit { current: Some(64 * 1024), ..before };
        setrlimit(Resource::Memlock, little).unwrap();
        let make: MakeDedicated = Box::new(move |_| Box::pin(async move { drop(made) }));
        executor.dedicate(Thread::default(), make).map(drop)
    });
    for refused in [refused.unwrap(), run(&Settings::default(), async |_| {})] {
        let Err(ThreadError::Executor { executor, error }) = refused else { panic!("{refused:?}") };
        assert_eq!(executor, "glommio");
        assert!(error.contains("ulimit -l 512"), "{error}");
    }
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected), "it was dropped");
}
