//! The loop over the runs of a service, and one run: the code that is compiled for each service
//! type, and is kept short for this reason. `course` decides what follows a run, `run` polls it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use mycelium_transports::counters::ServiceValue;

use super::run::{Polled, Watch, count, count_drop, count_end, judge, poll_run};
use super::{Life, Service, Supervised};
use crate::supervise::{Held, Panic, caught};
use crate::task::run_tasks::RunTasks;

/// Runs a service until it ends or fails too often, or the node shuts down. The life is boxed,
/// because it is large and is moved before the first poll.
// Not an `async fn`, because that stores its arguments twice.
#[expect(clippy::manual_async_fn, reason = "see above")]
pub fn supervise<S: Service>(mut life: Box<Life<S>>) -> impl Future<Output = ()> + use<S> {
    async move {
        let Life { hooks, supervised } = &mut *life;
        let mut live = pin!(live(supervised));
        poll_fn(|task| hooks.poll(task, live.as_mut())).await;
    }
}

/// Runs the service again and again, until no run follows. The next run uses the same instance
/// after an error, and a new instance after a panic or a stop.
// One function, because each poll of the service passes through its states; and not an `async fn`,
// as above.
#[expect(clippy::manual_async_fn, reason = "see above")]
fn live<S: Service>(life: &mut Supervised<S>) -> impl Future<Output = ()> + use<'_, S> {
    async move {
        let mut instance = Held(None);
        while life.course.begins(&mut life.context.waits).await {
            let (polled, also_panicked) = match begin_run(life, &mut instance.0) {
                Ok(service) => {
                    let Supervised { context, course, .. } = &mut *life;
                    let mut watch = Watch::new(&mut course.member, &course.inboxes, &context.waits);
                    let mut run = pin!(Some(service.run(context)));
                    let polled = poll_fn(|task| {
                        let Some(run) = run.as_mut().as_pin_mut() else { return Poll::Pending };
                        poll_run(run, &mut watch, task)
                    });
                    let polled = polled.await;
                    // Dropping the future may panic: the drop of a value that the service holds
                    // across an await may panic.
                    polled.dropped(caught(&mut || run.set(None)))
                }
                Err(panic) => (Polled::Panicked(panic), Ok(())),
            };
            let (ended, keeps) = judge(polled, &life.context.waits);
            count_drop(&life.context.waits, also_panicked);
            if !keeps {
                count_drop(&life.context.waits, caught(&mut || instance.0 = None));
            }
            RunTasks::end_all(&mut life.context.run).await;
            count_end(&ended, &life.context.waits);
            let Supervised { context, course, .. } = &mut *life;
            if !course.goes_on(&mut context.waits, ended, &mut || instance.0 = None) {
                break;
            }
        }
        count_drop(&life.context.waits, caught(&mut || instance.0 = None));
        // Announces the end before the subscriptions of the service are dropped.
        life.course.exit.announce();
    }
}

/// Counts a run that begins, and returns its instance, which is created if there is none.
fn begin_run<'s, S: Service>(
    life: &mut Supervised<S>,
    instance: &'s mut Option<S>,
) -> Result<&'s mut S, Panic> {
    let Supervised { factory, context, course } = life;
    count(&context.waits, ServiceValue::Starts, |runs| runs.starts += 1);
    course.inboxes.iter().for_each(|inbox| inbox.begin_run());
    if instance.is_none() {
        caught(&mut || *instance = Some(factory()))?;
    }
    Ok(instance.as_mut().expect("it was made"))
}
