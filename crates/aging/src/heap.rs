//! What the process does with memory that is no longer used.

/// Has the allocator keep large blocks for the next use instead of giving them back to the system: feature maps of a hundred
/// megabytes come and go, and the first touch of every page of new memory takes longer than the work on it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the standard library has no way to tell its allocator")]
pub(crate) fn keep_large_blocks() {
    const KEPT: libc::c_int = 1 << 30;
    // SAFETY: both only set a number of the allocator's, under its lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

/// Other allocators keep what they see fit.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_large_blocks() {}
