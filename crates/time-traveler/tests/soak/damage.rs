//! Damage to each file of a data folder after a kill: the start says what it finds, removes no bytes, and makes again what it can.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::alone;
use crate::binaries::Up;
use crate::client::{AGE, Client};
use crate::power_cut::{Acknowledged, wrong};
use crate::story::{colour, id, photograph};

const PORTRAITS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

/// Damage, and what follows.
struct Damage {
    name: &'static str,
    done: fn(&Path),
    /// What the start says, among other things.
    said: &'static [&'static str],
    /// Whether the portraits are well again without a further upload.
    heals: bool,
}

/// A change to a file's bytes.
fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    change(path, |bytes| bytes.truncate(bytes.len() / 2));
}

fn flip(path: &Path) {
    change(path, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
    });
}

fn remove(data: &Path, names: &[&str]) {
    for name in names {
        fs::remove_file(data.join(name)).unwrap();
    }
}

/// The file of a panel: a JPEG. Strips and photographs have other first bytes.
fn panel(data: &Path) -> std::path::PathBuf {
    let blobs = fs::read_dir(data.join("s3/blobs")).unwrap().map(|entry| entry.unwrap().path());
    blobs.filter(|path| fs::read(path).unwrap().starts_with(b"\xff\xd8")).min().unwrap()
}

const DAMAGES: [Damage; 11] = [
    Damage {
        name: "the journal's log is cut",
        done: |data| cut(&data.join("journal.db-wal")),
        said: &["journal.db-wal is sound up to frame", "announced again"],
        heals: false,
    },
    Damage {
        name: "the journal's log is flipped",
        done: |data| flip(&data.join("journal.db-wal")),
        said: &["journal.db-wal is sound up to frame", "announced again"],
        heals: false,
    },
    Damage {
        name: "the journal's log is removed",
        done: |data| remove(data, &["journal.db-wal"]),
        said: &["journal.db-wal is missing"],
        heals: false,
    },
    Damage {
        name: "the journal is removed",
        done: |data| remove(data, &["journal.db", "journal.db-wal", "journal.db-shm"]),
        said: &["journal.db is missing", "are kept in", "lost: the pictures of portrait-000000"],
        heals: false,
    },
    Damage {
        name: "the tables' log is cut",
        done: |data| cut(&data.join("dynamodb.db-wal")),
        said: &["dynamodb.db-wal is sound up to frame", "announced again"],
        heals: true,
    },
    Damage {
        name: "the tables' log is removed",
        done: |data| remove(data, &["dynamodb.db-wal"]),
        said: &["dynamodb.db-wal is missing", "announced again"],
        heals: true,
    },
    Damage {
        name: "the tables are removed",
        done: |data| remove(data, &["dynamodb.db", "dynamodb.db-wal", "dynamodb.db-shm"]),
        said: &["dynamodb.db is missing", "announced again"],
        heals: true,
    },
    Damage {
        name: "a picture is removed",
        done: |data| fs::remove_file(panel(data)).unwrap(),
        said: &["lost: the bytes of time-traveler/images/portrait-", "announced again"],
        heals: true,
    },
    Damage {
        name: "a picture is cut",
        done: |data| cut(&panel(data)),
        said: &["lost: the bytes of time-traveler/images/portrait-", "kept in", "announced again"],
        heals: true,
    },
    Damage {
        name: "a picture is flipped",
        done: |data| flip(&panel(data)),
        // It is found when it is read.
        said: &[],
        heals: false,
    },
    Damage {
        name: "the marks are removed",
        done: |data| remove(data, &["journal.db-mark", "dynamodb.db-mark"]),
        said: &[],
        heals: true,
    },
];

/// The names of all files with bytes, kept ones included.
fn files(data: &Path) -> BTreeSet<std::ffi::OsString> {
    ["s3/blobs", "s3/quarantine"]
        .into_iter()
        .filter_map(|folder| fs::read_dir(data.join(folder)).ok())
        .flatten()
        .map(|entry| entry.unwrap().file_name())
        .collect()
}

async fn put(client: &Client, number: usize) {
    let url = format!("{}/images/{}?ages={AGE}", client.api, id(number));
    client.http.put(url).body(photograph(colour(number, 0))).send().await.unwrap().error_for_status().unwrap();
}

/// What is wrong with the portraits.
async fn violations(client: &Client, patience: Duration) -> Vec<String> {
    let deadline = Instant::now() + patience;
    let mut violations = Vec::new();
    for number in 0..PORTRAITS {
        violations.extend(wrong(client, number, Acknowledged::Success, deadline).await);
    }
    violations
}

/// A folder with finished jobs whose process was killed.
async fn killed() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(None, data.path());
    let client = Client::new(up.api.clone(), &up.aws).await;
    for number in 0..PORTRAITS {
        put(&client, number).await;
    }
    assert_eq!(violations(&client, PATIENCE).await, Vec::<String>::new());
    data
}

async fn damaged(damage: &Damage) {
    let data = killed().await;
    (damage.done)(data.path());
    let present = files(data.path()).len();
    let said = data.path().join("said");
    let up = Up::start_saying(data.path(), &said, &[]);
    let said = fs::read_to_string(said).unwrap();
    for words in damage.said {
        assert!(said.contains(words), "{}: {words:?} was not said: {said}", damage.name);
    }
    assert_eq!(said.is_empty(), damage.said.is_empty(), "{}: {said}", damage.name);
    // Objects that the journal still knows may be deleted when their jobs are done again.
    let kept = fs::read_dir(data.path().join("s3/quarantine")).map_or(0, Iterator::count);
    if kept > 0 {
        assert!(said.contains(&format!("{kept} files that belong to no known object are kept")), "{said}");
    }
    if damage.said.contains(&"journal.db is missing") {
        assert_eq!(kept, present, "{}: bytes were removed", damage.name);
    }
    let client = Client::new(up.api.clone(), &up.aws).await;
    if damage.heals {
        assert_eq!(violations(&client, PATIENCE).await, Vec::<String>::new(), "{}", damage.name);
    }
    // Changed bytes are found when they are read.
    violations(&client, Duration::ZERO).await;
    // The same photographs make again what is missing.
    for number in 0..PORTRAITS {
        put(&client, number).await;
    }
    assert_eq!(violations(&client, PATIENCE).await, Vec::<String>::new(), "{}: uploaded again", damage.name);
}

#[test]
fn a_start_says_what_is_damaged_and_removes_no_bytes() {
    for damage in &DAMAGES {
        alone(damaged(damage));
    }
}

/// A database that cannot be read is neither used nor removed.
#[test]
fn a_start_refuses_a_database_that_is_cut() {
    alone(async {
        let data = killed().await;
        // A stop leaves the whole database in its file.
        let arguments = ["up", "--port", "0", "--aws-port", "0", "--data"];
        let start = || {
            let mut up = Command::new(crate::binary());
            up.args(arguments).arg(data.path()).arg("--model-server").arg(crate::quick_server());
            up.stdout(Stdio::piped()).stderr(Stdio::piped());
            up
        };
        let mut up = start().arg("--json").spawn().unwrap();
        let mut ready = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(up.stdout.as_mut().unwrap()), &mut ready).unwrap();
        let status = Command::new("kill").args(["-s", "INT", &up.id().to_string()]).status().unwrap();
        assert!(status.success() && up.wait().unwrap().success());
        for name in ["journal.db", "dynamodb.db"] {
            let path = data.path().join(name);
            let whole = fs::read(&path).unwrap();
            let before = files(data.path());
            cut(&path);
            let refused = start().output().unwrap();
            let said = String::from_utf8(refused.stderr).unwrap();
            assert!(!refused.status.success() && said.contains("is damaged") && said.contains(name), "{said}");
            assert_eq!(files(data.path()), before, "bytes were removed");
            fs::write(&path, whole).unwrap();
        }
        let up = Up::start(None, data.path());
        let client = Client::new(up.api.clone(), &up.aws).await;
        assert_eq!(violations(&client, PATIENCE).await, Vec::<String>::new());
    });
}
