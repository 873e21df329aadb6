//! An allocator for all fuzz targets that aborts the process when memory exceeds a limit.
//!
//! libFuzzer checks the resident memory only now and then, and never sees memory that is reserved but not touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// The limit of one allocation, in bytes.
static MOST_AT_ONCE: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The limit of all live allocations together, in bytes.
static MOST_OF_ALL: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The bytes of all live allocations.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Sets the limits: `at_once` MiB for one allocation, `of_all` MiB for all together. Beyond them, the process aborts.
pub fn limit_memory(at_once: usize, of_all: usize) {
    MOST_AT_ONCE.store(at_once << 20, Relaxed);
    MOST_OF_ALL.store(of_all << 20, Relaxed);
}

/// Counts the bytes allocated from `System`.
struct Limited;

impl Limited {
    fn count(&self, more: usize, at_once: usize) {
        let live = LIVE.fetch_add(more, Relaxed) + more;
        if at_once > MOST_AT_ONCE.load(Relaxed) {
            beyond("one allocation takes", at_once);
        }
        if live > MOST_OF_ALL.load(Relaxed) {
            beyond("all allocations take", live);
        }
    }
}

#[cold]
fn beyond(what: &str, bytes: usize) {
    // A panic is already being reported, which takes memory.
    if std::thread::panicking() {
        return;
    }
    // The report below takes memory too.
    MOST_AT_ONCE.store(usize::MAX, Relaxed);
    MOST_OF_ALL.store(usize::MAX, Relaxed);
    eprintln!("{what} {bytes} bytes, more than any valid input needs:\n{}", Backtrace::force_capture());
    std::process::abort();
}

// SAFETY: all calls go to `System`. The counting allocates nothing, except in a process that is about to abort.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size(), layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size(), layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() {
            self.count(size - layout.size(), size);
        } else {
            LIVE.fetch_sub(layout.size() - size, Relaxed);
        }
        unsafe { System.realloc(pointer, layout, size) }
    }
}
