//! The loop over the runs of a service, and one run: the code that is compiled for each service
//! type, and is kept short for this reason. `course` decides what follows a run, `run` polls it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use mycelium_transports::counters::ServiceValue;

use super::course::Course;
use super::emit::Waits;
use super::run::{Polled, Watch, count, count_drop, count_end, judge, poll_run};
use super::{Context, Life, Service};
use crate::inbox::AnyInbox;
use crate::supervise::{Held, Panic, caught};
use crate::task::run_tasks::RunTasks;

/// Runs a service until it ends or fails too often, or the node shuts down. The life is boxed,
/// because a future stores its arguments twice.
pub async fn supervise<S: Service>(mut life: Box<Life<S>>) {
    let Life { factory, context, hooks, course } = &mut *life;
    let mut live = pin!(live(factory, context, course));
    poll_fn(|task| hooks.poll(task, live.as_mut())).await;
}

/// Runs the service again and again, until no run follows. The next run uses the same instance
/// after an error, and a new instance after a panic or a stop.
// One function, because each poll of the service passes through its states.
async fn live<S: Service>(
    factory: &mut (dyn FnMut() -> S + Send),
    context: &mut Context<S>,
    course: &mut Course,
) {
    let mut instance = Held(None);
    while course.begins(&mut context.waits).await {
        let Course { member, inboxes, .. } = &mut *course;
        let mut also_panicked = Ok(());
        let polled = match begin_run(factory, &context.waits, inboxes, &mut instance.0) {
            Ok(service) => {
                let mut watch = Watch::new(member, inboxes, &context.waits);
                let mut run = pin!(Some(service.run(context)));
                let polled = poll_fn(|task| {
                    let Some(run) = run.as_mut().as_pin_mut() else { return Poll::Pending };
                    poll_run(run, &mut watch, task)
                });
                let polled = polled.await;
                // Dropping the future may panic: the drop of a value that the service holds across
                // an await may panic.
                polled.dropped(caught(&mut || run.set(None)), &mut also_panicked)
            }
            Err(panic) => Polled::Panicked(panic),
        };
        let (ended, keeps) = judge(polled, &context.waits);
        count_drop(&context.waits, also_panicked);
        if !keeps {
            count_drop(&context.waits, caught(&mut || instance.0 = None));
        }
        RunTasks::end_all(&mut context.run).await;
        count_end(&ended, &context.waits);
        if !course.goes_on(&mut context.waits, ended, &mut || instance.0 = None) {
            break;
        }
    }
    count_drop(&context.waits, caught(&mut || instance.0 = None));
    // Announces the end before the subscriptions of the service are dropped.
    course.exit.announce();
}

/// Counts a run that begins, and returns its instance, which is created if there is none.
fn begin_run<'s, S: Service>(
    factory: &mut (dyn FnMut() -> S + Send),
    waits: &Waits,
    inboxes: &[Arc<dyn AnyInbox>],
    instance: &'s mut Option<S>,
) -> Result<&'s mut S, Panic> {
    count(waits, ServiceValue::Starts, |runs| runs.starts += 1);
    inboxes.iter().for_each(|inbox| inbox.begin_run());
    if instance.is_none() {
        caught(&mut || *instance = Some(factory()))?;
    }
    Ok(instance.as_mut().expect("it was made"))
}
