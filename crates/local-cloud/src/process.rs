//! Processes as containers: a view of the file system for one child, its end with its parent, and its peak memory.

pub use crate::child::{View, end_with_parent};
#[cfg(unix)]
pub use crate::child::{signal_group, terminate};

/// The peak resident memory of a process, in bytes: `VmHWM` of `/proc/{pid}/status`. `None` on systems other than Linux, and for a
/// process that has ended.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| 1024 * kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_is_of_the_named_process() {
        let megabytes = peak_memory(std::process::id()).unwrap() >> 20;
        assert!((1..10_000).contains(&megabytes), "{megabytes} MB");
        assert_eq!(peak_memory(u32::MAX), None);
    }
}
