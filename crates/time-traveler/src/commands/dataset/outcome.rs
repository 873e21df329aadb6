//! What a command says of the records it could not read, and of what it left out.

use anyhow::bail;
use dataset::Findings;
use serde_json::{Value, json};

/// Faults that are printed. All are counted.
const SHOWN: usize = 20;

/// Prints losses and faults to stderr.
///
/// # Errors
/// Where a record could not be read, so that the exit code is 1.
pub(super) fn report(findings: &Findings) -> anyhow::Result<()> {
    for (what, count) in findings.losses() {
        note!("warning: {count} {what}");
    }
    for fault in findings.faults().iter().take(SHOWN) {
        note!("{fault}");
    }
    match findings.fault_count() {
        0 => Ok(()),
        1 => bail!("1 record or picture could not be used"),
        count if count > SHOWN as u64 => {
            bail!("{count} records or pictures could not be used; the first {SHOWN} are above")
        }
        count => bail!("{count} records or pictures could not be used"),
    }
}

/// The same as JSON.
pub(super) fn as_json(findings: &Findings) -> Value {
    let losses: serde_json::Map<String, Value> =
        findings.losses().map(|(what, count)| (what.to_owned(), json!(count))).collect();
    let faults: Vec<String> = findings.faults().iter().map(ToString::to_string).collect();
    json!({"losses": losses, "faults": faults, "faultCount": findings.fault_count()})
}
