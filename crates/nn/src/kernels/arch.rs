use pulp::Arch;

/// The widest vector instructions of this machine.
pub fn arch() -> Arch {
    #[cfg(all(any(test, feature = "test-instructions"), target_arch = "x86_64"))]
    if let Some(arch) = narrower() {
        return arch;
    }
    Arch::new()
}

/// The environment variable by which tests choose the instructions of other machines.
#[cfg(any(test, feature = "test-instructions"))]
pub const TEST_INSTRUCTIONS: &str = "TIME_TRAVELER_TEST_INSTRUCTIONS";

#[cfg(all(any(test, feature = "test-instructions"), target_arch = "x86_64"))]
fn narrower() -> Option<Arch> {
    match std::env::var(TEST_INSTRUCTIONS).ok()?.as_str() {
        "scalar" => Some(Arch::Scalar),
        "v3" => pulp::x86::V3::try_new().map(Arch::V3),
        other => panic!("{other}: scalar or v3 would work"),
    }
}
