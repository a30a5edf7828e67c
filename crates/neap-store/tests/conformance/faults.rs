//! Would the cases find a store that does not do what runs rely on?
//!
//! Each of these faults is one line of a store that somebody might get wrong. A case that no fault makes fail
//! may still be a good one; a fault that no case finds is a hole.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::memory::{Halves, Memory};

/// What a store of memory does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A record of a request that is not in flight is written.
    RecordsAnything,
    /// A record is written again.
    RecordsTwice,
    /// What is in flight is read once more.
    HandsOutFlight,
    /// What is in flight is leased once more.
    LeasesFlight,
    /// A link makes a request, whether there is one or not.
    RepeatsLinks,
    /// Requests are handed out by their number alone.
    ForgetsPriority,
    /// A refill begins at the start.
    ForgetsCursor,
    /// Retries are made ready before they are due.
    PromotesEarly,
    /// Of the retries that are due, any are taken.
    PromotesAny,
    /// Failures that are not charged are.
    ChargesAll,
    /// Requests in flight of a dead run stay so.
    KeepsFlight,
    /// What a closed run had in flight is taken for lost.
    LosesAtClose,
    /// What is lost alone is tried for ever.
    NeverQuarantines,
    /// A superseded run may write.
    HasNoFence,
    /// Two runs own the same hosts.
    SharesPartitions,
    /// A run hears of the hosts of others.
    TellsOfForeignHosts,
    /// What a run finds for another is not told.
    KeepsNewsToItself,
    /// Answers are told before the work they led to.
    AnswersFirst,
    /// Requests of paused jobs go out.
    IgnoresPauses,
    /// The links of a cancelled job's pages are asked for.
    IgnoresCancelling,
    /// A new round leaves the one before open.
    KeepsOldRounds,
    /// Only the first hosts are announced.
    AnnouncesFew,
    /// Hosts fail with what is in flight.
    FailsFlight,
    /// What was learned of hosts goes with the run.
    ForgetsHosts,
    /// A redirect to a known URL makes a request.
    RepeatsRedirects,
    /// A job is finished with requests open.
    FinishesEarly,
    /// Jobs of others are told of again and again.
    FindsJobsAgain,
}

const FAULTS: [Fault; 27] = [
    Fault::RecordsAnything,
    Fault::RecordsTwice,
    Fault::HandsOutFlight,
    Fault::LeasesFlight,
    Fault::RepeatsLinks,
    Fault::ForgetsPriority,
    Fault::ForgetsCursor,
    Fault::PromotesEarly,
    Fault::PromotesAny,
    Fault::ChargesAll,
    Fault::KeepsFlight,
    Fault::LosesAtClose,
    Fault::NeverQuarantines,
    Fault::HasNoFence,
    Fault::SharesPartitions,
    Fault::TellsOfForeignHosts,
    Fault::KeepsNewsToItself,
    Fault::AnswersFirst,
    Fault::IgnoresPauses,
    Fault::IgnoresCancelling,
    Fault::KeepsOldRounds,
    Fault::AnnouncesFew,
    Fault::FailsFlight,
    Fault::ForgetsHosts,
    Fault::RepeatsRedirects,
    Fault::FinishesEarly,
    Fault::FindsJobsAgain,
];

/// Runs the cases one after the other against a store with a fault; the first one that finds it.
macro_rules! first_to_find {
    ([$fault:expr] $($module:ident::$case:ident,)*) => {{
        let fault: Fault = $fault;
        let mut found = None;
        $(
            if found.is_none() {
                let case = crate::cases::$module::$case(Memory::with(fault));
                let ended = AssertUnwindSafe(case).catch_unwind().await;
                found = ended.err().map(|_| stringify!($case));
            }
        )*
        if found.is_none() {
            let case = crate::cases::runs::no_two_living_runs_own_the_same_host(Halves::with(fault));
            let ended = AssertUnwindSafe(case).catch_unwind().await;
            found = ended.err().map(|_| "no_two_living_runs_own_the_same_host, in halves");
        }
        found
    }};
}

#[tokio::test]
async fn each_fault_is_found_by_a_case() {
    for fault in FAULTS {
        let found = crate::for_each_case!(first_to_find, fault);
        println!("{fault:?}: {found:?}");
        assert!(found.is_some(), "{fault:?}");
    }
}
