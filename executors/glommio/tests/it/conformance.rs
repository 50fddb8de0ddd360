//! The laws of executors on glommio: on a thread, run by its user, and dedicated.

use std::sync::Arc;

use mycelium_executor::conformance::{Dedicated, Paused, Subject};
use mycelium_executor::{Executor, LocalFuture, MakeDedicated, TaskQueue};
use mycelium_glommio::{Glommio, Settings};

use crate::subjects::GlommioOne;

/// An executor that its user created, in its main task.
struct RunByUser;

impl Subject for RunByUser {
    const NAME: &'static str = "glommio, run by its user";

    fn skip_reason() -> Option<String> {
        mycelium_glommio::check().err().map(|missing| missing.to_string())
    }

    fn run(body: MakeDedicated) {
        // If the preempt timer fires, glommio may stall: see the documentation of
        // `mycelium_glommio`.
        let preempt = std::time::Duration::from_secs(3_600);
        let builder = glommio::LocalExecutorBuilder::default().preempt_timer(preempt);
        let mine = builder.make().unwrap();
        let body = |executor| body(Arc::new(executor));
        mine.run(mycelium_glommio::local(body)).unwrap();
    }
}

/// A task queue of its own, beside the task queue of the executor.
struct InQueue;

impl Subject for InQueue {
    const NAME: &'static str = "glommio, in a task queue";

    fn skip_reason() -> Option<String> {
        mycelium_glommio::check().err().map(|missing| missing.to_string())
    }

    fn run(body: MakeDedicated) {
        let settings = Settings::default();
        let ran = mycelium_glommio::run(&settings, async |executor: Glommio| {
            let latency = Some(std::time::Duration::from_micros(500));
            let queue = executor.task_queue(TaskQueue { shares: Some(100), latency }).unwrap();
            let (done, has_ended) = futures_channel::oneshot::channel();
            let own = queue.clone();
            let make = move || {
                let body = body(own);
                Box::pin(async move {
                    body.await;
                    _ = done.send(());
                }) as LocalFuture<()>
            };
            queue.spawn_local(Box::new(make)).unwrap();
            has_ended.await
        });
        ran.unwrap().expect("the body has not panicked");
    }
}

mycelium_executor::conformance! {
    mod in_queue: InQueue,
    mod one_thread: GlommioOne,
    mod run_by_user: RunByUser,
    mod dedicated: Dedicated<GlommioOne>,
    mod paused_time: Paused<GlommioOne>,
}
