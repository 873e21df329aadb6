//! Only the user who runs `up` can read its data, and a deleted portrait leaves the logs.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;

use crate::support::{Up, picture};

/// Every file and folder below a folder, and the folder itself.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// What others may do with something in a folder.
fn shared(folder: &Path) -> Vec<String> {
    let mode = |path: &PathBuf| path.metadata().map_or(0, |found| found.permissions().mode() & 0o777);
    let shared = all(folder).into_iter().filter(|path| mode(path) & 0o077 != 0);
    shared.map(|path| format!("{} {:o}", path.display(), mode(&path))).collect()
}

#[tokio::test]
async fn the_data_folder_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = Up::start_over(&data);
    assert_eq!(up.send("ada", picture(1)).await["status"], "SUCCESS");
    assert_eq!(shared(&data), Vec::<String>::new());
    let found = all(&data);
    for name in ["logs/image-processor.log", "journal.db", "dynamodb.db", "lock"] {
        assert!(found.contains(&data.join(name)), "no {name} in {found:?}");
    }
    up.terminate();

    // A folder of an earlier version, which everybody could read.
    for path in all(&data) {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let up = Up::start_over(&data);
    assert_eq!(up.send("bob", picture(2)).await["status"], "SUCCESS");
    assert_eq!(shared(&data), Vec::<String>::new());
}

#[tokio::test]
async fn the_id_of_a_deleted_portrait_leaves_the_logs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let up = Up::start_over(&data);
    assert_eq!(up.send("ada", picture(1)).await["status"], "SUCCESS");
    assert_eq!(up.send("adam", picture(2)).await["status"], "SUCCESS");
    let logs = || {
        let logs = all(&data.join("logs")).into_iter().filter(|path| path.is_file());
        logs.map(|path| std::fs::read_to_string(path).unwrap()).collect::<String>()
    };
    assert!(logs().contains(r#""id":"ada""#) && logs().contains("ada:"), "{}", logs());
    let deleted = up.http.delete(format!("{}/jobs/ada", up.api)).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    while logs().contains(r#""ada""#) || logs().contains("ada:") {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    up.terminate();
    assert!(!logs().contains("ada:") && logs().contains(r#""id":"xxx""#), "{}", logs());
    assert!(logs().contains(r#""id":"adam""#) && logs().contains("adam:"), "{}", logs());
}
