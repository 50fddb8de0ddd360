//! glommio's executors keep the laws of all executors: one on a thread, and one of the user's.
#![cfg(target_os = "linux")]

use std::sync::Arc;

use mycelium_executor::conformance::{Dedicated, Subject};
use mycelium_executor::{Executor, LocalFuture};
use mycelium_glommio::Settings;

/// One on a thread.
struct Thread;

impl Subject for Thread {
    const NAME: &'static str = "glommio";

    fn lacks() -> Option<String> {
        mycelium_glommio::check().err().map(|lacking| lacking.to_string())
    }

    fn run(body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static) {
        let body = |executor| body(Arc::new(executor));
        mycelium_glommio::run(&Settings::default(), body).unwrap();
    }
}

/// One of the user's, in its main task.
struct Users;

impl Subject for Users {
    const NAME: &'static str = "glommio, run by its user";

    fn lacks() -> Option<String> {
        mycelium_glommio::check().err().map(|lacking| lacking.to_string())
    }

    fn run(body: impl FnOnce(Arc<dyn Executor>) -> LocalFuture<()> + Send + 'static) {
        // One that comes may be the last thing that happens: `mycelium_glommio::run` says why.
        let preempt = std::time::Duration::from_secs(3_600);
        let builder = glommio::LocalExecutorBuilder::default().preempt_timer(preempt);
        let mine = builder.make().unwrap();
        let body = |executor| body(Arc::new(executor));
        mine.run(mycelium_glommio::local(body)).unwrap();
    }
}

mod thread {
    use super::Thread;

    mycelium_executor::conformance!(Thread);
}

mod users {
    use super::Users;

    mycelium_executor::conformance!(Users);
}

mod dedicated {
    use super::{Dedicated, Thread};

    mycelium_executor::conformance!(Dedicated<Thread>);
}
