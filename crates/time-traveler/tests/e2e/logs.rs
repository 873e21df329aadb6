//! The contents of logs, at the most detailed levels.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Up, picture};

/// The name and text of every log file.
fn logs(data: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(data.join("logs")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.display().to_string(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()))
        .collect()
}

#[tokio::test]
async fn no_log_contains_the_secret_or_the_photograph() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_logging(folder.path(), "debug,hyper=trace,lambda=trace,container=trace");
    let photograph = picture(1);
    assert_eq!(up.send("ada", photograph.clone()).await["status"], "SUCCESS");
    let presigned: serde_json::Value =
        up.http.post(format!("{}/uploads/grace", up.api)).send().await.unwrap().json().await.unwrap();
    let signature = presigned["url"].as_str().unwrap().split("X-Amz-Signature=").nth(1).unwrap();
    let signature = signature[..64].to_owned();
    let secret = std::fs::read_to_string(folder.path().join("secret-access-key")).unwrap();
    let written = up.log();
    let mut logs = logs(folder.path());
    logs.push(("stderr".to_owned(), written));
    assert!(logs.iter().map(|(_, text)| text.len()).sum::<usize>() > 10_000, "hardly anything is logged");
    let photograph = STANDARD.encode(&photograph[100..400]);
    for (name, text) in logs {
        for (what, needle) in
            [("secret", secret.trim()), ("photograph", &photograph[..40]), ("presigned URL", &signature)]
        {
            assert!(!text.contains(needle), "the {what} is in {name}");
        }
    }
}
