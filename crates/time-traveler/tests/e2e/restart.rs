//! `kill -9` loses no acknowledged upload.

use serde_json::Value;

use crate::support::{PATIENCE, Up, children, is_running, picture};

const JOBS: u8 = 10;

/// Sends ten uploads, kills `up` after `count` hops of a kind, and starts it again on the same folder.
async fn killed_after(action: &str, count: usize) {
    let up = Up::start();
    for n in 0..JOBS {
        let answer = up.put(&format!("/images/job-{n}"), picture(n)).await;
        assert!(answer.status().is_success());
    }
    up.wait_for_hops(action, count);
    let processes = children(up.pid());
    assert!(processes.len() >= 2, "functions or the model server are missing: {processes:?}");
    let folder = up.kill().unwrap();
    until_gone(&processes).await;

    let up = Up::start_over(folder.path());
    for n in 0..JOBS {
        let job = up.settled(&format!("job-{n}")).await;
        assert_eq!(job["status"], "SUCCESS", "after {count} {action}: {job}");
        let last: &Value = &job["images"][4]["path"];
        let bytes = up.get(last.as_str().unwrap()).await.bytes().await.unwrap();
        assert_eq!(image::load_from_memory(&bytes).unwrap().width(), 1024);
    }
}

/// Waits until the children have ended. They end with their parent, but the kernel may take a moment.
async fn until_gone(processes: &[u32]) {
    let gone = async {
        while processes.iter().any(|pid| is_running(*pid)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("children outlive their parent");
}

#[tokio::test]
async fn a_kill_before_the_first_invocation_loses_nothing() {
    killed_after("Object Created", usize::from(JOBS)).await;
}

#[tokio::test]
async fn a_kill_between_invocations_loses_nothing() {
    killed_after("InvokeEndpointAsync", 5).await;
}

#[tokio::test]
async fn a_kill_while_the_model_works_loses_nothing() {
    killed_after("InvokeEndpointAsync", usize::from(JOBS)).await;
}

#[tokio::test]
async fn a_kill_at_the_first_notices_loses_nothing() {
    killed_after("face-aging-success -> image-processor", 2).await;
}

#[tokio::test]
async fn a_kill_while_panels_are_written_loses_nothing() {
    killed_after("/3.jpg", 3).await;
}

#[tokio::test]
async fn sigterm_stops_it_and_the_next_start_resumes_the_jobs() {
    let up = Up::start();
    for n in 0..JOBS {
        assert!(up.put(&format!("/images/job-{n}"), picture(n)).await.status().is_success());
    }
    up.wait_for_hops("InvokeEndpointAsync", 3);
    let processes = children(up.pid());
    let (status, folder) = up.terminate();
    let folder = folder.unwrap();
    assert_eq!(status.code(), Some(0));
    until_gone(&processes).await;
    let up = Up::start_over(folder.path());
    for n in 0..JOBS {
        assert_eq!(up.settled(&format!("job-{n}")).await["status"], "SUCCESS");
    }
}

#[tokio::test]
async fn an_accepted_upload_keeps_the_default_ages_of_its_moment() {
    let folder = tempfile::tempdir().unwrap();
    // The first run does not handle the events any more.
    let up = Up::start_with(folder.path(), &["--chaos", "delay-event=1,delay-seconds=4"]);
    assert!(up.put("/images/by-api", picture(1)).await.status().is_success());
    let signed = up.http.post(format!("{}/uploads/presigned", up.api)).send().await.unwrap();
    let signed: Value = signed.json().await.unwrap();
    assert_eq!(signed["headers"], serde_json::json!({"x-amz-meta-ages": "20,40,60,80"}));
    up.kill();

    let up = Up::start_with(folder.path(), &["--ages", "25,55"]);
    assert_eq!(up.settled("by-api").await["ages"], serde_json::json!([20, 40, 60, 80]));
    assert_eq!(up.send("later", picture(2)).await["ages"], serde_json::json!([25, 55]));
}

#[tokio::test]
async fn a_second_process_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _up = Up::start_over(folder.path());
    let second = std::process::Command::new(crate::support::BINARY)
        .args(["up", "--port", "0", "--aws-port", "0", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(stderr.contains("in use by another process"), "{stderr}");
}
