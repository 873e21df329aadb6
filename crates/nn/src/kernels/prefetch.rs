//! Hints about memory that is needed soon. The processor itself follows few streams through memory, and the kernels have dozens of them.

/// Brings the cache line of a value that will be read. The index may be out of bounds.
#[inline(always)]
pub(super) fn will_read<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "the standard library has no safe way to give this hint")]
    // SAFETY: the instruction changes nothing but caches, whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(index).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// The same for a value that will be written.
#[inline(always)]
pub(super) fn will_write<T>(values: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "the standard library has no safe way to give this hint")]
    // SAFETY: the instruction changes nothing but caches, whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_ET0>(values.as_ptr().wrapping_add(index).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}
