//! The memory of this process.

/// The peak of this process's resident memory, in bytes; `None` where the system does not report it.
pub(crate) fn peak() -> Option<u64> {
    local_cloud::process::peak_memory(std::process::id())
}
