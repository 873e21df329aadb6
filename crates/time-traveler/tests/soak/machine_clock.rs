//! A machine's clock that a test sets, for real processes: a preloaded library that shifts the wall clock, and leaves the monotonic one.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Reads the shift, a number of seconds, from the file whose name is compiled in.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *shift;

__attribute__((constructor)) static void open_shift(void) {
    int file = open(SHIFT, O_RDONLY);
    if (file < 0) _exit(99);
    shift = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (shift == MAP_FAILED) _exit(99);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += *shift;
    return result;
}

int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"#;

/// A clock, and the library that shows it to a process.
pub(crate) struct MachineClock {
    folder: tempfile::TempDir,
    shift: File,
}

impl MachineClock {
    /// A clock that is right. `None` where no C compiler makes the library; the reason is printed.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("clock.c");
        fs::write(&source, LIBRARY).unwrap();
        let name = folder.path().join("shift");
        let shift = File::create(&name).unwrap();
        let clock = Self { folder, shift };
        clock.set(0);
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(clock.library())
            .arg(format!("-DSHIFT=\"{}\"", name.display()))
            .arg(source)
            .status();
        if made.as_ref().is_ok_and(std::process::ExitStatus::success) {
            return Some(clock);
        }
        eprintln!("skipped, since no C compiler makes a library here: {made:?}");
        None
    }

    /// Sets the clock to a number of seconds beside the right time.
    pub(crate) fn set(&self, seconds: i64) {
        self.shift.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// The library, for `LD_PRELOAD`.
    pub(crate) fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    /// A program that runs another one under this clock, with `argv[0]` as given.
    pub(crate) fn wrapped(&self, program: &Path, argv0: &str) -> PathBuf {
        let folder = self.folder.path().join("functions").join(argv0);
        fs::create_dir_all(&folder).unwrap();
        let script = folder.join("bootstrap");
        let (library, program) = (self.library(), program.display().to_string());
        let text = format!("#!/bin/bash\nLD_PRELOAD={} exec -a {argv0} {program} \"$@\"\n", library.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script
    }

    /// The folder of the wrapped functions.
    pub(crate) fn functions(&self) -> PathBuf {
        self.folder.path().join("functions")
    }
}
