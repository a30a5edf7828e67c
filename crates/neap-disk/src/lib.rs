//! Forgets: a disk that fails, fills up and loses power, under the system calls of a test.
//!
//! A program that links this crate and calls [`Disk::below`] has every write, sync, truncation and change of
//! a name below that directory noted, in the order in which the kernel was asked: those of the standard
//! library and those of SQLite, of every thread. From the [`Log`] it takes the [`Image`]s that a power
//! cut may leave at any moment: what was not flushed is there, missing or torn, file by file and sector
//! by sector, and a name is there only if its directory was flushed. [`Disk::fail`] makes calls fail.
//!
//! Nothing of it is a model of SQLite or of a file system: what is noted is what the code that ships asks
//! for. Linux only, since it rests on the names of C functions: in a program that is linked with this
//! crate, they are found here first.

#[cfg(target_os = "linux")]
mod calls;
mod disk;
mod fault;
mod image;
mod log;

pub use disk::Disk;
pub use fault::{Call, Fault};
pub use image::{Image, Loss};
pub use log::Log;
