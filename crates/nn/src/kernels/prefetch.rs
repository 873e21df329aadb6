//! Prefetching. A processor by itself follows few streams through memory, and the kernels have dozens of them.

/// Brings the cache line of a value that will be read into the cache. The index may be out of bounds.
#[inline(always)]
pub(super) fn prefetch_read<T>(values: &[T], index: usize) {
    prefetch::<T, false>(values, index);
}

/// The same for a value that will be written.
#[inline(always)]
pub(super) fn prefetch_write<T>(values: &[T], index: usize) {
    prefetch::<T, true>(values, index);
}

#[inline(always)]
fn prefetch<T, const WRITES: bool>(values: &[T], index: usize) {
    let address = values.as_ptr().wrapping_add(index).cast();
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "the standard library has no safe way to prefetch")]
    // SAFETY: the instruction changes nothing but caches, whatever the address is.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T0, _mm_prefetch};
        if WRITES { _mm_prefetch::<_MM_HINT_ET0>(address) } else { _mm_prefetch::<_MM_HINT_T0>(address) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _: *const i8 = address;
}
