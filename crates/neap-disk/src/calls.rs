//! What does the program ask of the kernel?
//!
//! The C functions by which SQLite and the standard library change files, under the same names: the linker
//! takes the first that it finds, and these come before the C library's. Each asks the kernel by the
//! number of the call and tells the registry. What is not below a watched directory passes through.

// The only unsafe code of the workspace. It is never linked into anything that ships.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libc::{mode_t, off_t, size_t, ssize_t};

use crate::disk::registry;
use crate::fault::Call;

/// Makes the linker keep this module: what nobody names is left out.
pub(crate) fn link() {
    let functions: [*const (); 15] = [
        open as *const (),
        open64 as *const (),
        close as *const (),
        write as *const (),
        pwrite as *const (),
        pwrite64 as *const (),
        ftruncate as *const (),
        ftruncate64 as *const (),
        fsync as *const (),
        fdatasync as *const (),
        unlink as *const (),
        rename as *const (),
        mkdir as *const (),
        link_ as *const (),
        linkat as *const (),
    ];
    std::hint::black_box(functions);
}

/// Says why a call failed, as C does.
fn refuse(errno: i32) -> c_int {
    // SAFETY: the pointer is to this thread's own errno, which is always there.
    unsafe { *libc::__errno_location() = errno };
    -1
}

/// The path of a call; `None` if it is relative: everything watched is named in full.
///
/// # Safety
/// `path` must be a C string, as the call itself demands.
unsafe fn absolute<'a>(path: *const c_char) -> Option<&'a Path> {
    if path.is_null() {
        return None;
    }
    // SAFETY: not null, and a C string by this function's own condition.
    let path = unsafe { CStr::from_ptr(path) };
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    path.is_absolute().then_some(path)
}

/// # Safety
/// As `open(2)` demands of its arguments.
unsafe fn open_as(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let ask = || {
        // SAFETY: the arguments are the caller's.
        let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode) };
        c_int::try_from(fd).expect("file descriptors are ints")
    };
    // SAFETY: the path is the caller's.
    let Some(name) = (unsafe { absolute(path) }) else {
        return ask();
    };
    let Some(mut registry) = registry() else {
        return ask();
    };
    let is_for_writing = flags & libc::O_ACCMODE != libc::O_RDONLY;
    if is_for_writing && let Some(errno) = registry.before_open(name) {
        return refuse(errno);
    }
    let fd = ask();
    if fd >= 0 {
        let is_directory = flags & libc::O_DIRECTORY != 0 || name.is_dir();
        registry.opened(fd, name, is_directory, flags & libc::O_TRUNC != 0);
    }
    fd
}

/// # Safety
/// As `open(2)`. The mode is read whether it was given or not, as the C library does with these flags.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { open_as(path, flags, mode) }
}

/// # Safety
/// As `open(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { open_as(path, flags, mode) }
}

/// # Safety
/// As `close(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn close(fd: c_int) -> c_int {
    // Before the kernel may give the number to somebody else.
    if let Some(mut registry) = registry() {
        registry.closed(fd);
    }
    // SAFETY: the argument is the caller's.
    to_int(unsafe { libc::syscall(libc::SYS_close, fd) })
}

fn to_int(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}

fn to_size(result: c_long) -> ssize_t {
    ssize_t::try_from(result).unwrap_or(-1)
}

/// # Safety
/// As `write(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    let ask = || to_size(unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) });
    let Some(mut registry) = registry().filter(|registry| registry.is_watched(fd)) else {
        return ask();
    };
    if let Some(errno) = registry.before(fd, Call::Write) {
        return refuse(errno) as ssize_t;
    }
    // SAFETY: asking for the position changes nothing.
    let offset = unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) };
    let written = ask();
    if let (Ok(offset), Ok(written)) = (u64::try_from(offset), usize::try_from(written)) {
        // SAFETY: the kernel has just read so many bytes from there.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), written) };
        registry.wrote(fd, offset, bytes);
    }
    written
}

/// # Safety
/// As `pwrite(2)`.
unsafe fn pwrite_as(fd: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    let ask = || to_size(unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, at) });
    let Some(mut registry) = registry().filter(|registry| registry.is_watched(fd)) else {
        return ask();
    };
    if let Some(errno) = registry.before(fd, Call::Write) {
        return refuse(errno) as ssize_t;
    }
    let written = ask();
    if let (Ok(offset), Ok(written)) = (u64::try_from(at), usize::try_from(written)) {
        // SAFETY: the kernel has just read so many bytes from there.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), written) };
        registry.wrote(fd, offset, bytes);
    }
    written
}

/// # Safety
/// As `pwrite(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    unsafe { pwrite_as(fd, bytes, count, at) }
}

/// # Safety
/// As `pwrite(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    unsafe { pwrite_as(fd, bytes, count, at) }
}

fn truncate_as(fd: c_int, bytes: off_t) -> c_int {
    // SAFETY: there is no pointer among the arguments.
    let ask = || to_int(unsafe { libc::syscall(libc::SYS_ftruncate, fd, bytes) });
    let Some(mut registry) = registry().filter(|registry| registry.is_watched(fd)) else {
        return ask();
    };
    if let Some(errno) = registry.before(fd, Call::Truncate) {
        return refuse(errno);
    }
    let result = ask();
    if let (0, Ok(bytes)) = (result, u64::try_from(bytes)) {
        registry.truncated(fd, bytes);
    }
    result
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn ftruncate(fd: c_int, bytes: off_t) -> c_int {
    truncate_as(fd, bytes)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn ftruncate64(fd: c_int, bytes: off_t) -> c_int {
    truncate_as(fd, bytes)
}

fn sync_as(fd: c_int, number: c_long) -> c_int {
    let Some(mut registry) = registry().filter(|registry| registry.is_watched(fd)) else {
        // SAFETY: there is no pointer among the arguments.
        return to_int(unsafe { libc::syscall(number, fd) });
    };
    if let Some(errno) = registry.before(fd, Call::Sync) {
        return refuse(errno);
    }
    registry.synced(fd);
    0
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn fsync(fd: c_int) -> c_int {
    sync_as(fd, libc::SYS_fsync)
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync_as(fd, libc::SYS_fdatasync)
}

/// # Safety
/// As `unlink(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let registry = registry();
    // SAFETY: the arguments are the caller's.
    let result =
        to_int(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0 as c_int) });
    // SAFETY: the path is the caller's.
    if let (0, Some(path), Some(mut registry)) = (result, unsafe { absolute(path) }, registry) {
        registry.removed(path);
    }
    result
}

/// # Safety
/// As `mkdir(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    let registry = registry();
    // SAFETY: the arguments are the caller's.
    let result = to_int(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path, mode) });
    // SAFETY: the path is the caller's.
    if let (0, Some(path), Some(mut registry)) = (result, unsafe { absolute(path) }, registry) {
        registry.made_directory(path);
    }
    result
}

/// # Safety
/// As `linkat(2)` and `renameat(2)` demand of paths.
unsafe fn link_as(
    from: *const c_char,
    to: *const c_char,
    is_moved: bool,
    ask: impl FnOnce() -> c_int,
) -> c_int {
    let registry = registry();
    let result = ask();
    // SAFETY: the paths are the caller's.
    let [from, to] = [from, to].map(|path| unsafe { absolute(path) }.map(PathBuf::from));
    if let (0, Some(from), Some(to), Some(mut registry)) = (result, from, to, registry) {
        registry.linked(&from, &to, is_moved);
    }
    result
}

/// # Safety
/// As `rename(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let here = libc::AT_FDCWD;
    // SAFETY: the arguments are the caller's.
    let ask =
        || to_int(unsafe { libc::syscall(libc::SYS_renameat2, here, from, here, to, 0 as c_int) });
    // SAFETY: the arguments are the caller's.
    unsafe { link_as(from, to, true, ask) }
}

/// # Safety
/// As `link(2)`.
#[unsafe(export_name = "link")]
pub(crate) unsafe extern "C" fn link_(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the arguments are the caller's.
    unsafe { linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) }
}

/// # Safety
/// As `linkat(2)`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn linkat(
    from_directory: c_int,
    from: *const c_char,
    to_directory: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    let ask = || {
        // SAFETY: the arguments are the caller's.
        to_int(unsafe {
            libc::syscall(
                libc::SYS_linkat,
                from_directory,
                from,
                to_directory,
                to,
                flags,
            )
        })
    };
    // SAFETY: the arguments are the caller's.
    unsafe { link_as(from, to, false, ask) }
}
