//! What the process does with memory that is no longer used.

/// Has the allocator give large blocks back to the system at once, and keep the small ones of all threads together. By default it
/// comes to keep what is as large as a strip, in as many arenas as threads meet in it, so that a server's memory would depend on
/// how its requests met. The SAM engine, which has large blocks to use again, keeps them when it is loaded.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the standard library has no way to tell its allocator")]
pub fn return_large_blocks() {
    const LARGE: libc::c_int = 1 << 20;
    const ARENAS: libc::c_int = 2;
    // SAFETY: both only set a number of the allocator's, under its lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
    }
}

/// Other allocators keep what they see fit.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_large_blocks() {}
