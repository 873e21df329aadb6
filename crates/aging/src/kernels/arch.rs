use pulp::Arch;

/// The widest instructions that this machine has.
pub(super) fn arch() -> Arch {
    #[cfg(all(test, target_arch = "x86_64"))]
    if let Some(arch) = narrower() {
        return arch;
    }
    Arch::new()
}

/// The environment variable by which tests ask for the instructions of other machines.
#[cfg(test)]
pub(super) const NARROWER: &str = "TIME_TRAVELER_TEST_INSTRUCTIONS";

#[cfg(all(test, target_arch = "x86_64"))]
fn narrower() -> Option<Arch> {
    match std::env::var(NARROWER).ok()?.as_str() {
        "scalar" => Some(Arch::Scalar),
        "v3" => pulp::x86::V3::try_new().map(Arch::V3),
        other => panic!("{other}: scalar or v3 would work"),
    }
}
