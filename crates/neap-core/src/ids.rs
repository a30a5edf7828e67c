//! How are things that the store numbers told apart in the types?
//!
//! Each number is a row id of the table that its name says; mixing two up does not compile.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(
            /// The row id; 1 and up.
            pub i64,
        );

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One round of a job: `jobs.job_id`.
    JobId
);
id!(
    /// A host (scheme, name, port): `hosts.host_id`.
    HostId
);
id!(
    /// One URL that a job asks for: `requests.request_id`.
    RequestId
);
id!(
    /// One run, and the fence for what it writes: `runs.epoch`.
    Epoch
);
