/// Does work on a thread of rayon's pool. Work that begins outside of it would wake the pool for every kernel, and wait for it: 7 to 9 %
/// of the time of a small network.
pub fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}
