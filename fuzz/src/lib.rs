//! What the fuzz targets share: an allocator that ends the process where memory goes beyond a limit.
//!
//! libFuzzer looks at the resident memory only now and then, and never sees what is reserved and not touched.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// The most bytes at once, and of all that is there.
static MOST_AT_ONCE: AtomicUsize = AtomicUsize::new(usize::MAX);
static MOST_OF_ALL: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Bytes that are there.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// From now on, the process ends where one allocation takes more than `at_once` MiB, or everything more than `of_all`.
pub fn limit_memory(at_once: usize, of_all: usize) {
    MOST_AT_ONCE.store(at_once << 20, Relaxed);
    MOST_OF_ALL.store(of_all << 20, Relaxed);
}

/// Counts what `System` is asked for.
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
    // Something else is wrong, and takes memory to say so.
    if std::thread::panicking() {
        return;
    }
    // So does what follows.
    MOST_AT_ONCE.store(usize::MAX, Relaxed);
    MOST_OF_ALL.store(usize::MAX, Relaxed);
    eprintln!("{what} {bytes} bytes, more than an honest input can ask for:\n{}", Backtrace::force_capture());
    std::process::abort();
}

// SAFETY: everything is `System`'s; what is done besides allocates nothing, but for a process that is about to end.
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
