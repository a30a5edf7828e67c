//! Who made an answer, whose fault was it, and what is to be done?
//!
//! A 502 may be written by the application, by a gateway of the site, by a CDN, by the proxy that we asked or
//! by its provider, and each of them may be right or wrong to write it. The bytes tell which, often enough; where they do
//! not, the verdict says so and leaves the rest to comparison over time.
//!
//! | file | its question |
//! | --- | --- |
//! | `evidence`, `exchange` | what is known of one exchange? |
//! | `words` | in which words is the verdict told? |

mod evidence;
mod exchange;
mod words;

pub use evidence::{Body, Break, Evidence, Fields, Manner, Reply, latin1};
pub use words::{Action, Attribution, Cause, Fault, Producer};
