//! The processor time and memory of a process and its descendants, from `/proc`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use anyhow::Context;

/// A tick of `/proc/{pid}/stat` in milliseconds, the same on every Linux system that this program runs on.
const TICK: u64 = 10;
/// The bytes of a page of memory, as far as `/proc/{pid}/stat` counts them.
const PAGE: u64 = 4096;

/// The processor time of processes of one name, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    /// In the program.
    pub(super) user: u64,
    /// In the kernel, for the program.
    pub(super) system: u64,
}

/// A process and its descendants.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// The time by the name of the program.
    pub(super) times: BTreeMap<String, Time>,
    /// The sum of their resident memory in bytes.
    pub(super) memory: u64,
}

/// A process, as `/proc/{pid}/stat` describes it.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    time: Time,
    memory: u64,
}

/// The usage of a process and its descendants that run now. The process itself is listed as `called`.
///
/// # Errors
/// The system has no `/proc`.
pub(super) fn usage(root: u32, called: &str) -> anyhow::Result<Usage> {
    let listed = fs::read_dir("/proc").context("processor time is measured on Linux only: /proc cannot be read")?;
    let ids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    // A process may end meanwhile.
    let stats: HashMap<u32, Stat> = ids.filter_map(|pid| Some((pid, parsed(&read(pid, "stat")?)?))).collect();
    let (mut usage, mut family) = (Usage::default(), vec![root]);
    while let Some(pid) = family.pop() {
        family.extend(stats.iter().filter(|(_, stat)| stat.parent == pid).map(|(child, _)| *child));
        let Some(stat) = stats.get(&pid) else { continue };
        let name = if pid == root { called.to_owned() } else { name(pid) };
        let time = usage.times.entry(name).or_default();
        time.user += stat.time.user;
        time.system += stat.time.system;
        usage.memory += stat.memory;
    }
    Ok(usage)
}

fn read(pid: u32, file: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).ok()?).into_owned())
}

/// The name that the process was called by, without its folder: this program's children have names of their own.
fn name(pid: u32) -> String {
    let line = read(pid, "cmdline").unwrap_or_default();
    let called = line.split('\0').next().unwrap_or_default();
    Path::new(called).file_name().map_or(called.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn parsed(stat: &str) -> Option<Stat> {
    // The name, in parentheses, may hold blanks and parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Numbered from the third on, `state`.
    let number = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    let time = Time { user: TICK * number(14)?, system: TICK * number(15)? };
    Some(Stat { parent: u32::try_from(number(4)?).ok()?, time, memory: PAGE * number(24)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_by_its_fields() {
        let line =
            "77 (a b) c) S 5 77 77 0 -1 4194560 100 0 0 0 12 34 0 0 20 0 3 0 123 1000000 256 18446744073709551615 1 1";
        let found = parsed(line).unwrap();
        assert_eq!(found, Stat { parent: 5, time: Time { user: 120, system: 340 }, memory: 1 << 20 });
        assert_eq!(parsed("77 (cut) S 5"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn children_are_counted_under_their_own_names() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let usage = usage(std::process::id(), "tests");
        child.kill().unwrap();
        child.wait().unwrap();
        let usage = usage.unwrap();
        assert!(usage.times.contains_key("sleep") && usage.times.contains_key("tests"), "{:?}", usage.times);
        assert!(usage.memory > 1 << 20, "{} bytes", usage.memory);
    }
}
