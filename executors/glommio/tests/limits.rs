//! Missing requirements are errors. This is a separate test program, because limits apply to the
//! process.
#![cfg(all(target_os = "linux", not(miri)))]

use std::sync::mpsc;

use mycelium_executor::{Executor, MakeDedicated, Thread, ThreadError};
use mycelium_glommio::{Glommio, Settings, check, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says why")]
fn a_low_limit_of_locked_memory_is_an_error_that_says_what_to_change() {
    if let Err(missing) = check() {
        println!("SKIPPED: glommio: {missing}");
        return;
    }
    let before = getrlimit(Resource::Memlock);
    let (work, dropped) = mpsc::channel::<()>();
    let refused = run(&Settings::default(), async move |executor: Glommio| {
        let low = Rlimit { current: Some(64 * 1024), ..before };
        setrlimit(Resource::Memlock, low).unwrap();
        let make: MakeDedicated = Box::new(move |_| Box::pin(async move { drop(work) }));
        executor.dedicate(Thread::default(), make).map(drop)
    });
    for refused in [refused.unwrap(), run(&Settings::default(), async |_| {})] {
        let Err(ThreadError::Executor { executor, error }) = refused else { panic!("{refused:?}") };
        assert_eq!(executor, "glommio");
        assert!(error.contains("ulimit -l 512"), "{error}");
    }
    assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Disconnected), "the work was dropped");
}
