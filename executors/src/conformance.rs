//! The laws that every executor keeps, as tests that are generic over the executor.
//!
//! Implement [`Subject`] and write `conformance!(MySubject);` in a test file: this creates one test
//! of each law. For several subjects write `conformance! { mod one: One, mod two: Two }`.
//!
//! The laws are in `tasks.rs`, `timers.rs`, `streams.rs` and `dedicated.rs`; `subject.rs` has their
//! common helpers. A law knows only its subject, so other test suites use the same subjects.

mod dedicated;
mod streams;
mod subject;
mod tasks;
mod timers;

pub use dedicated::*;
pub use streams::*;
pub use subject::{Dedicated, Paused, Subject, WakeCounter, can_run, inside};
pub use tasks::*;
pub use timers::*;

/// Creates one test of each law, for one subject or for several.
#[macro_export]
macro_rules! conformance {
    ($(mod $name:ident: $subject:ty),+ $(,)?) => {
        $(
            mod $name {
                #[allow(unused_imports, reason = "the subject may be a path")]
                use super::*;

                $crate::conformance!($subject);
            }
        )+
    };
    ($subject:ty) => {
        $crate::conformance!(
            $subject:
            a_spawned_task_runs_detached,
            a_task_can_be_spawned_from_any_thread,
            a_local_task_runs_on_the_thread_that_spawned_it_or_is_refused,
            a_local_task_is_refused_on_another_thread,
            a_panic_ends_its_own_task_only,
            a_panic_of_a_drop_ends_its_own_task_only,
            a_task_that_yields_lets_others_run,
            tasks_that_wake_each_other_never_stall,
            tasks_end_with_their_executor,
            an_ended_executor_refuses_everything,
            blocking_work_does_not_block_tasks,
            a_wake_from_another_thread_reaches_a_busy_executor,
            sigint_and_sigterm_interrupt,
            timers_fire_in_order_and_never_early,
            a_past_deadline_is_ready_at_once,
            a_far_deadline_stays_pending,
            a_dropped_timer_does_not_wake,
            a_timer_may_be_awaited_on_any_thread,
            time_never_goes_back,
            bytes_flow_both_ways_and_a_full_stream_blocks_its_writer,
            one_vectored_write_takes_every_buffer,
            a_dropped_read_loses_no_byte,
            a_dropped_write_wrote_nothing,
            a_dropped_accept_loses_no_connection,
            accept_reports_the_peer,
            a_closed_stream_reads_as_end_of_file,
            writing_to_a_closed_peer_is_an_error,
            an_unusable_address_is_an_error,
            a_second_bind_of_a_used_port_is_an_error_at_once,
            a_wake_stream_reports_each_byte,
            a_socket_may_be_dropped_on_any_thread,
            an_adopted_tcp_socket_is_prepared_for_messages,
            two_listeners_accept_as_one,
            a_dedicated_thread_has_its_name_and_its_core,
            an_unknown_core_is_refused_and_leaves_no_thread,
            a_dedicated_executor_is_a_full_executor,
            a_dedicated_thread_and_its_tasks_end_with_its_future,
            a_panic_ends_its_dedicated_thread_only,
            a_dedicated_executor_can_dedicate_threads,
            blocking_work_does_not_inherit_the_core_of_a_dedicated_thread,
        );
    };
    ($subject:ty: $($law:ident),* $(,)?) => {
        $(
            #[test]
            fn $law() {
                if $crate::conformance::can_run::<$subject>() {
                    $crate::conformance::$law::<$subject>();
                }
            }
        )*
    };
}
