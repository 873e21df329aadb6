//! Jobs over the restart of a cloud.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Tested, eventually, log, statuses};

const STEPS: &str = r#"
point = BASE / "checkpoints/step"
step = int(point.read_text()) if point.exists() else 0
print("from", step, flush=True)
(BASE / "checkpoints/old").unlink(missing_ok=True)
if step == 0:
    (BASE / "checkpoints/old").write_text("x")
point.write_text(str(step + 1))
if step == 0:
    time.sleep(600)
(BASE / "model/steps").write_text(str(step + 1))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_from_its_checkpoints_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let checkpoints = json!({"CheckpointConfig": {"S3Uri": "s3://bucket/points"}});
    tested.create("job", STEPS, checkpoints.clone()).await;
    // The checkpoint is stored while the program runs.
    eventually(async || (tested.object("points/step").await.as_deref() == Some(b"1")).then_some(())).await;
    assert!(tested.object("points/old").await.is_some());
    assert_eq!(tested.describe("job").await["SecondaryStatus"], "Training");
    tested.cloud.stop().await;

    let tested = Tested::start(folder.path()).await;
    let ended = tested.ended("job").await;
    let statuses = statuses(&ended);
    assert_eq!(
        statuses[2..],
        ["Training", "Interrupted", "Starting", "Downloading", "Training", "Uploading", "Completed"]
    );
    assert_eq!(tested.archive("out/job/output/model.tar.gz").await["steps"], "2");
    assert_eq!(tested.object("points/step").await.unwrap(), b"2", "the last checkpoint is stored at the end");
    assert_eq!(tested.object("points/old").await, None, "what the program deletes is deleted");
    // Another job of the same checkpoints goes on, too.
    tested.create("next", STEPS, checkpoints).await;
    tested.ended("next").await;
    assert_eq!(tested.archive("out/next/output/model.tar.gz").await["steps"], "3");
    tested.cloud.stop().await;
}

/// Changes the record of a job while no cloud runs, as a kill at that moment would have left it.
fn change(folder: &std::path::Path, change: impl FnOnce(&mut Value)) -> String {
    let journal = rusqlite::Connection::open(folder.join("data/journal.db")).unwrap();
    let text: String = journal
        .query_row("SELECT description FROM sagemaker WHERE kind = 'training-job'", [], |row| row.get(0))
        .unwrap();
    let mut record: Value = serde_json::from_str(&text).unwrap();
    change(&mut record);
    journal.execute("UPDATE sagemaker SET description = ? WHERE kind = 'training-job'", [record.to_string()]).unwrap();
    record["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outputs_of_a_program_that_had_ended_are_stored_without_another_run() {
    let folder = tempfile::tempdir().unwrap();
    for (ending, status) in [("Completed", "Completed"), ("Stopped", "Stopped"), ("MaxRuntimeExceeded", "Stopped")] {
        let folder = folder.path().join(ending);
        std::fs::create_dir(&folder).unwrap();
        let tested = Tested::start(&folder).await;
        tested.create("job", "print('ran', flush=True); time.sleep(600)", json!({})).await;
        tested.until("job", "Training").await;
        eventually(async || log(&folder, "job").contains("ran").then_some(())).await;
        tested.cloud.stop().await;
        let id = change(&folder, |record| record["ending"] = json!(ending));
        std::fs::write(folder.join(format!("data/sagemaker-jobs/training/{id}/ml/model/weights")), "whole").unwrap();
        // What a killed process leaves of other runs is removed.
        std::fs::create_dir(folder.join("data/sagemaker-jobs/training/left")).unwrap();

        let tested = Tested::start(&folder).await;
        let ended = tested.ended("job").await;
        assert_eq!(ended["TrainingJobStatus"], status);
        assert_eq!(statuses(&ended)[2..4], ["Training", "Uploading"], "{ending}");
        assert_eq!(tested.archive("out/job/output/model.tar.gz").await["weights"], "whole");
        assert_eq!(log(&folder, "job").matches("ran").count(), 1);
        let runs = folder.join("data/sagemaker-jobs/training");
        eventually(async || (std::fs::read_dir(&runs).unwrap().count() == 0).then_some(())).await;
        tested.cloud.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_being_stopped_is_stopped_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let script = "(BASE / 'model/half').write_text('1'); signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True); time.sleep(600)";
    tested.create("job", script, json!({})).await;
    tested.until("job", "Training").await;
    eventually(async || log(folder.path(), "job").contains("ready").then_some(())).await;
    tested.stop("job").await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), tested.cloud.stop()).await.unwrap();

    let tested = Tested::start(folder.path()).await;
    let ended = tested.ended("job").await;
    assert_eq!(ended["TrainingJobStatus"], "Stopped");
    assert_eq!(statuses(&ended)[2..], ["Training", "Stopping", "Uploading", "Stopped"]);
    assert_eq!(tested.archive("out/job/output/model.tar.gz").await["half"], "1");
    tested.cloud.stop().await;
}
