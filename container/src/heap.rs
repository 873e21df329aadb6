//! Settings of glibc's allocator. Programs choose them once, in `main`; libraries never do. Other allocators ignore them.
//!
//! | program | arenas | large blocks |
//! |---|---|---|
//! | `serve` with the preview engine, or with a network on a GPU; `up` | two | returned |
//! | `serve` with a network on a CPU | two | kept |
//! | `age`, `bench aging` with SAM on a CPU; `train` | glibc's default | kept |
//! | `bench detector` | glibc's default | returned |

/// Limits all threads to two arenas. By default, glibc keeps strip-sized blocks per arena, up to eight arenas per core: the
/// resident memory of a server would grow with the interleaving of its threads.
pub fn limit_arenas() {
    const ARENAS: i32 = 2;
    set(Parameter::ArenaMax, ARENAS);
}

/// Returns freed blocks of 1 MB or more to the system at once. By default, glibc raises this limit to the size of the blocks
/// that a program frees, and then keeps blocks of this size.
pub fn return_large_blocks() {
    const LARGE: i32 = 1 << 20;
    set(Parameter::MmapThreshold, LARGE);
}

/// Keeps large blocks for their next use. A network on a CPU allocates feature maps of a hundred megabytes again and again, and
/// the page faults of fresh memory take longer than the computation.
pub fn keep_large_blocks() {
    const KEPT: i32 = 1 << 30;
    set(Parameter::MmapThreshold, KEPT);
    set(Parameter::TrimThreshold, KEPT);
}

#[derive(Clone, Copy)]
enum Parameter {
    ArenaMax,
    MmapThreshold,
    TrimThreshold,
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the standard library has no interface to the allocator's settings")]
fn set(parameter: Parameter, value: i32) {
    let parameter = match parameter {
        Parameter::ArenaMax => libc::M_ARENA_MAX,
        Parameter::MmapThreshold => libc::M_MMAP_THRESHOLD,
        Parameter::TrimThreshold => libc::M_TRIM_THRESHOLD,
    };
    // SAFETY: it sets a number of the allocator's, under the allocator's lock.
    unsafe {
        libc::mallopt(parameter, value);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set(_: Parameter, _: i32) {}
