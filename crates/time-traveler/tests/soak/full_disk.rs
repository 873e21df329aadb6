//! A disk that somebody fills to the last byte: uploads are refused with the reason, a deletion makes room, and `up` starts.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::alone;
use crate::binaries::Up;
use crate::client::{AGE, Client};
use crate::loop_disk::LoopDisk;
use crate::power_cut::{Acknowledged, wrong};
use crate::story::{colour, id, photograph};

/// The size of the disk, in megabytes.
const DISK: u64 = 120;
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes until nothing fits any more.
fn fill(path: &Path) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

async fn put(client: &Client, number: usize) -> (StatusCode, String) {
    let url = format!("{}/images/{}?ages={AGE}", client.api, id(number));
    let answer = client.http.put(url).body(photograph(colour(number, 0))).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// Repeats a request until it has the wanted status.
async fn until(wanted: StatusCode, mut ask: impl AsyncFnMut() -> (StatusCode, String)) -> String {
    let start = Instant::now();
    loop {
        let (status, text) = ask().await;
        if status == wanted {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "{status}: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn full(disk: &LoopDisk) {
    let data = disk.mounted().join("data");
    let stranger = disk.mounted().join("stranger");
    let up = Up::start(None, &data);
    let client = Client::new(up.api.clone(), &up.aws).await;
    for number in 0..3 {
        assert_eq!(put(&client, number).await.0, StatusCode::OK);
        let deadline = Instant::now() + PATIENCE;
        assert_eq!(wrong(&client, number, Acknowledged::Success, deadline).await, None);
    }
    fill(&stranger);
    let refused = until(StatusCode::INSUFFICIENT_STORAGE, async || put(&client, 3).await).await;
    assert!(refused.contains("disk") && refused.contains("full"), "{refused}");
    // Even the reserve is taken by the stranger.
    fill(&stranger);
    drop(up);
    let up = Up::start(None, &data);
    let client = Client::new(up.api.clone(), &up.aws).await;
    let delete = async |number| {
        let answer = client.http.delete(format!("{}/jobs/{}", client.api, id(number))).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    until(StatusCode::NO_CONTENT, async || delete(0).await).await;
    let deadline = Instant::now() + PATIENCE;
    for number in [1, 2] {
        assert_eq!(wrong(&client, number, Acknowledged::Success, deadline).await, None);
    }
    std::fs::remove_file(&stranger).unwrap();
    until(StatusCode::OK, async || put(&client, 3).await).await;
    assert_eq!(wrong(&client, 3, Acknowledged::Success, Instant::now() + PATIENCE).await, None);
}

#[test]
fn a_full_disk_can_be_freed() {
    if let Some(disk) = LoopDisk::new(DISK) {
        alone(full(&disk));
    }
}
