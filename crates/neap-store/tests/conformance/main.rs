//! Does a store do what runs rely on, whatever database it is made of?
//!
//! The cases in `cases` know the traits [`neap_store::Store`] and [`neap_store::Session`] and nothing behind
//! them. Another database is held to them by three lines: a [`rig::Kind`], and
//! `for_each_case!(conformance, its_name, ItsKind)`. They run against SQLite and against a store of a few
//! maps in `memory`, by itself and lent to two runs at a time. That the cases can fail is shown by that
//! store, too: each of the faults in `faults` is found by one of them.

// A test fails by a panic.
#![allow(clippy::unwrap_used)]

mod cases;
mod faults;
mod memory;
mod records;
mod rig;
mod sqlite;

use memory::Memory;
use sqlite::Sqlite;

/// Hands the names of all cases to a macro.
macro_rules! for_each_case {
    ($macro:ident $(, $args:tt)*) => {
        $macro! {
            [$($args),*]
            jobs::input_is_announced_host_by_host,
            jobs::every_host_is_announced_once_however_many_there_are,
            jobs::a_job_is_finished_when_nothing_of_it_is_open,
            jobs::a_new_round_takes_the_place_of_an_unfinished_one,
            jobs::a_run_for_all_hears_of_what_others_submit_once,
            jobs::a_paused_job_is_not_asked_for_until_it_is_continued,
            jobs::the_answer_of_a_cancelled_job_counts_and_leads_nowhere,
            frontier::requests_come_in_order_and_each_once,
            frontier::what_is_in_flight_is_not_handed_out,
            frontier::links_become_requests_once,
            frontier::what_is_more_urgent_goes_first,
            frontier::urls_to_which_no_page_led_become_requests_of_open_jobs,
            frontier::retries_wait_until_they_are_due,
            frontier::those_due_longest_are_promoted_first,
            attempts::an_attempt_is_recorded_once,
            attempts::a_batch_is_one_step_and_tells_of_work_before_answers,
            attempts::a_redirect_leads_to_a_request_of_its_own,
            attempts::a_request_that_is_given_up_is_counted_as_failed,
            endings::what_is_skipped_is_not_asked_for,
            endings::a_host_fails_with_all_that_is_not_in_flight,
            endings::the_rest_of_a_job_is_skipped,
            endings::what_was_learned_of_a_host_outlives_the_run,
            runs::what_a_dead_run_had_in_flight_is_lost_and_asked_again,
            runs::what_a_closed_run_had_in_flight_is_not_lost,
            runs::what_is_lost_alone_three_times_is_given_up,
            runs::a_run_that_was_superseded_writes_nothing,
            runs::no_two_living_runs_own_the_same_host,
            runs::a_writer_drives_it_and_says_when_it_is_closed,
        }
    };
}
pub(crate) use for_each_case;

/// A test for each case, run against a store of this kind.
macro_rules! conformance {
    ([$name:ident, $kind:ident] $($module:ident::$case:ident,)*) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $case() {
                    let kind = <super::$kind as crate::rig::Kind>::make();
                    crate::cases::$module::$case(kind.await).await;
                }
            )*
        }
    };
}

for_each_case!(conformance, on_sqlite, Sqlite);
for_each_case!(conformance, in_memory, Memory);

/// A run that gets half of the hosts cannot do what the other cases want of all of them.
#[tokio::test]
async fn two_runs_share_a_store_that_lends_halves() {
    use rig::Kind;
    let halves = memory::Halves::make().await;
    cases::runs::no_two_living_runs_own_the_same_host(halves).await;
}
