//! Training jobs over plain HTTP, with a program whose behaviour a hyperparameter chooses.
//!
//! SageMaker's contract for training, rule by rule, and the test that holds it. `src` stands for tests beside the code.
//!
//! | rule | | test |
//! |---|---|---|
//! | T1 | the answer has the ARN, with the name in small letters | `a_job_finds_its_world_and_its_outputs_are_stored` |
//! | T2 | limits, patterns and lists of values of every member | `requests_are_refused…`; src `control_plane/training_request` |
//! | T3 | a name that is taken: `ResourceInUse` | `requests_are_refused_as_sagemaker_refuses_them` |
//! | T4 | a prefix without objects is refused at once | `requests_are_refused_as_sagemaker_refuses_them` |
//! | T5 | a missing job, and stopping one that has ended | `requests_are_refused_as_sagemaker_refuses_them` |
//! | T6 | a description has the defaults that SDKs index | `a_description_has_what_sdks_index` |
//! | T7 | transitions follow each other, with messages | `a_job_finds_its_world_and_its_outputs_are_stored` |
//! | T8 | lists: order, filters, pages | `requests_are_refused_as_sagemaker_refuses_them` |
//! | T9 | the program: argument, entry point, arguments, environment | `a_job_finds…`, `a_failure_has_its_reason` |
//! | T10 | the three files of configuration | `a_job_finds_its_world_and_its_outputs_are_stored` |
//! | T11 | which file a key becomes; markers of folders are left out | `a_job_finds…`; src `training/channels` |
//! | T12 | a manifest names the files | `a_job_finds…`, `a_failure_has_its_reason` |
//! | T13 | `FastFile` channels cannot be written to | `an_opt_ml_of_its_own_can_be_used_where_the_system_allows_it` |
//! | T14 | more objects than a page of a listing | `a_channel_has_every_object` |
//! | T15 | `Pipe`, `AugmentedManifestFile` and more are refused by name | src `control_plane/training_request` |
//! | T16 | the exit code alone decides | `a_job_finds…` (0 with a failure file), `a_failure_has_its_reason` |
//! | T17 | the failure file becomes the reason, 1024 characters in all | `a_failure_has_its_reason` |
//! | T18 | a program that is missing: 127; killed by a signal: 128 and its number | `a_failure_has_its_reason` |
//! | T19 | the model is stored even if it is empty; output data only if there is any | `a_model_can_be_stored_as_files` |
//! | T20 | `CompressionType: NONE` stores files | `a_model_can_be_stored_as_files` |
//! | T21 | a failed job stores no model | `a_failure_has_its_reason` |
//! | T22 | to stop: SIGTERM to the whole group, SIGKILL after 120 seconds, and the model is stored | `a_stopped_job_may_save_its_model` |
//! | T23 | `MaxRuntimeInSeconds`: in the same way, `MaxRuntimeExceeded` | `a_stopped_job_may_save_its_model` |
//! | T24 | checkpoints: fetched before, stored while it runs, deletions too | `restart`: `a_job_goes_on_from_its_checkpoints…` |
//! | T25 | metrics: the last value of each | `a_job_finds…`; src `training/metrics` |
//! | T26 | all lines of the log are there before the last status | `tests/sagemaker/logs` |
//! | T27 | each change is an event of EventBridge | `a_job_finds_its_world_and_its_outputs_are_stored` |
//! | T28 | tags are kept, and gone with the resource | `tests/sagemaker/tags` |

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod restart;
mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use support::{ROLE, Tested, channel, eventually, job, log, statuses};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_finds_its_world_and_its_outputs_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    for key in ["in/a.txt", "in/deep/b.txt", "whole.txt", "m/x/1.txt", "m/x/2.txt"] {
        tested.put(key, format!("content of {key}")).await;
    }
    tested.put("in/empty/", "").await;
    tested.put("list.json", r#"[{"prefix": "s3://bucket/m/"}, "x/2.txt"]"#).await;
    let script = r#"
data = BASE / "input/data"
seen = {str(path.relative_to(data)): path.read_text() for path in data.rglob("*.*")}
(BASE / "model/weights").write_text("trained")
(BASE / "model/code").mkdir()
os.symlink("weights", BASE / "model/link")
os.mkfifo(BASE / "model/pipe")
(BASE / "output/data/note").write_text("more")
world = {
    "files": seen,
    "configs": [config(name) for name in ["inputdataconfig", "resourceconfig"]],
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
}
(BASE / "output/data/world.json").write_text(json.dumps(world))
print("epoch=1 loss=0.5")
print("epoch=2 loss=0.25; last", end="")
(BASE / "output/failure").write_text("not a failure")
"#;
    let mut algorithm = job("j", "", json!({}))["AlgorithmSpecification"].clone();
    algorithm["MetricDefinitions"] = json!([{"Name": "loss", "Regex": "loss=([0-9.]+)"}]);
    let more = json!({
        "AlgorithmSpecification": algorithm,
        "InputDataConfig": [
            channel("train", "S3Prefix", "s3://bucket/in", "File"),
            channel("one", "S3Prefix", "s3://bucket/whole.txt", "FastFile"),
            channel("part", "S3Prefix", "s3://bucket/who", "File"),
            channel("list", "ManifestFile", "s3://bucket/list.json", "File"),
        ],
        "Environment": {"OWN": "client", "FROM_IMAGE": "client"},
        "DebugHookConfig": {"S3OutputPath": "s3://bucket/debug"},
        "Tags": [{"Key": "a", "Value": "b"}],
    });
    let created = tested.call("CreateTrainingJob", job("First", script, more)).await.unwrap();
    assert_eq!(created["TrainingJobArn"], "arn:aws:sagemaker:us-east-1:000000000000:training-job/first");
    let ended = tested.ended("First").await;
    assert_eq!(ended["TrainingJobStatus"], "Completed", "{ended} {}", log(folder.path(), "First"));
    assert_eq!(statuses(&ended), ["Starting", "Downloading", "Training", "Uploading", "Completed"]);
    let transitions = ended["SecondaryStatusTransitions"].as_array().unwrap();
    for pair in transitions.windows(2) {
        assert_eq!(pair[0]["EndTime"], pair[1]["StartTime"]);
    }
    assert_eq!(transitions[3]["StatusMessage"], "Uploading generated training model");
    assert_eq!(ended["ModelArtifacts"]["S3ModelArtifacts"], "s3://bucket/out/First/output/model.tar.gz");
    assert_eq!((&ended["FailureReason"], &ended["OutputDataConfig"]["KmsKeyId"]), (&Value::Null, &json!("")));
    assert_eq!(ended["DebugHookConfig"]["S3OutputPath"], "s3://bucket/debug");
    let metric = &ended["FinalMetricDataList"][0];
    assert_eq!((&metric["MetricName"], &metric["Value"]), (&json!("loss"), &json!(0.25)));
    assert!(ended["TrainingTimeInSeconds"].as_u64().unwrap() >= 1);

    let model = tested.archive("out/First/output/model.tar.gz").await;
    assert_eq!(model.keys().map(|name| name.trim_end_matches('/')).collect::<Vec<_>>(), ["code", "link", "weights"]);
    assert_eq!(model["weights"], "trained");
    let output = tested.archive("out/First/output/output.tar.gz").await;
    assert_eq!(output["note"], "more");
    let world: Value = serde_json::from_str(&output["world.json"]).unwrap();
    let expected = json!({
        "train/a.txt": "content of in/a.txt",
        "train/deep/b.txt": "content of in/deep/b.txt",
        "one/whole.txt": "content of whole.txt",
        "part/whole.txt": "content of whole.txt",
        "list/x/2.txt": "content of m/x/2.txt",
    });
    assert_eq!(world["files"], expected);
    assert_eq!(world["arguments"], json!(["train"]));
    let one = json!({"ContentType": "text/plain", "TrainingInputMode": "FastFile",
        "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"});
    assert_eq!(world["configs"][0]["one"], one);
    assert_eq!(world["configs"][1]["hosts"], json!(["algo-1"]));
    assert_eq!(world["configs"][1]["current_instance_type"], "ml.m5.large");
    let environment = &world["environment"];
    for (name, value) in [("TRAINING_JOB_NAME", "First"), ("OWN", "client"), ("FROM_IMAGE", "client")] {
        assert_eq!(environment[name], value, "{name}");
    }
    assert_eq!(environment["AWS_ENDPOINT_URL"], format!("http://{}", tested.cloud.aws_address()));
    assert!(environment["PATH"].is_string() && environment["SM_CHANNEL_TRAIN"].is_string());
    let log = log(folder.path(), "First");
    assert!(
        log.starts_with("[local cloud] ") && log.contains("\nepoch=1 loss=0.5\nepoch=2 loss=0.25; last\n"),
        "{log}"
    );
    let runs = folder.path().join("data/sagemaker-jobs/training");
    eventually(async || (std::fs::read_dir(&runs).unwrap().count() == 0).then_some(())).await;
    // The last line may not be written to its end yet.
    let last = eventually(async || {
        let events = std::fs::read_to_string(folder.path().join("events")).unwrap_or_default();
        let last: Value = serde_json::from_str(events.lines().last()?).ok()?;
        (last["detail"]["SecondaryStatus"] == "Completed").then_some(last)
    })
    .await;
    assert_eq!(last["resources"][0], created["TrainingJobArn"]);
    assert_eq!(
        (&last["detail"]["TrainingJobName"], &last["detail"]["SecondaryStatus"]),
        (&json!("First"), &json!("Completed"))
    );
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_ml_of_its_own_can_be_used_where_the_system_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.put("in/a.txt", "a").await;
    let script = r#"
import socket
if str(BASE) == "/opt/ml":
    assert socket.gethostbyname("algo-1") == "127.0.0.1"
    assert Path("/opt/ml/input/data/fast/a.txt").read_text() == "a"
    try:
        Path("/opt/ml/input/data/fast/b.txt").write_text("b")
        fail("a FastFile channel can be written to")
    except OSError:
        print("read-only")
else:
    print("no view")
"#;
    let fast = json!([channel("fast", "S3Prefix", "s3://bucket/in/", "FastFile")]);
    // Two at once have a folder each.
    for name in ["one", "two"] {
        tested.create(name, script, json!({"InputDataConfig": fast})).await;
    }
    for name in ["one", "two"] {
        let ended = tested.ended(name).await;
        assert_eq!(ended["TrainingJobStatus"], "Completed", "{ended} {}", log(folder.path(), name));
        let log = log(folder.path(), name);
        let says = log.lines().next().unwrap();
        assert!(log.contains("read-only") == says.contains("/opt/ml is this job's own"), "{log}");
    }
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_has_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    for key in ["bad/a", "bad/a/b"] {
        tested.put(key, "x").await;
    }
    tested.put("none.json", "{}").await;
    let image = |image: &str| json!({"TrainingImage": image, "TrainingInputMode": "File"});
    let entrypoint = json!({"TrainingImage": "trainer", "TrainingInputMode": "File",
        "ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": ["echo to the log; exit 5"]});
    for (name, script, more, reason) in [
        ("file", "fail('no data', 3)", json!({}), "AlgorithmError: no data, exit code: 3"),
        ("code", "sys.exit(4)", json!({}), "AlgorithmError: , exit code: 4"),
        ("signal", "os.kill(os.getpid(), 9)", json!({}), "AlgorithmError: , exit code: 137"),
        ("folder", "(BASE / 'output/failure').mkdir(); sys.exit(1)", json!({}), "AlgorithmError: , exit code: 1"),
        ("entrypoint", "", json!({"AlgorithmSpecification": entrypoint}), "AlgorithmError: , exit code: 5"),
        ("program", "", json!({"AlgorithmSpecification": image("gone")}), "AlgorithmError: , exit code: 127"),
        (
            "image",
            "",
            json!({"AlgorithmSpecification": image("other:1")}),
            "ClientError: Cannot pull algorithm container. The image \"other:1\" does not exist here: there is trainer, gone, server",
        ),
        (
            "server",
            "",
            json!({"AlgorithmSpecification": image("server")}),
            "ClientError: Cannot pull algorithm container. The image \"server\" is for models only here: for jobs there is trainer, gone",
        ),
        (
            "keys",
            "",
            json!({"InputDataConfig": [channel("c", "S3Prefix", "s3://bucket/bad", "File")]}),
            "ClientError: Data download failed: the key \"bad/a\" cannot be a file and a folder, because of the key \"bad/a/b\"",
        ),
        (
            "manifest",
            "",
            json!({"InputDataConfig": [channel("c", "ManifestFile", "s3://bucket/none.json", "File")]}),
            "ClientError: Data download failed: the manifest s3://bucket/none.json cannot be read: it is no list in JSON",
        ),
        (
            "output",
            "",
            json!({"OutputDataConfig": {"S3OutputPath": "s3://nowhere/out"}}),
            "ClientError: Artifact upload failed: s3://nowhere/out/output/output/model.tar.gz cannot be written: there is no bucket",
        ),
    ] {
        tested.create(name, script, more).await;
        let ended = tested.ended(name).await;
        assert_eq!((&ended["TrainingJobStatus"], &ended["SecondaryStatus"]), (&json!("Failed"), &json!("Failed")));
        let said = ended["FailureReason"].as_str().unwrap();
        assert!(said.starts_with(reason) && said.len() <= 1100, "{name}: {said}");
        assert_eq!(tested.object(&format!("out/{name}/output/model.tar.gz")).await, None, "{name}");
    }
    assert!(log(folder.path(), "entrypoint").ends_with("to the log\n"));
    tested.create("long", "fail('ä' * 5000)", json!({})).await;
    let reason = tested.ended("long").await["FailureReason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("ä, exit code: 1") && reason.chars().count() == 1024, "{reason}");
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_refused_as_sagemaker_refuses_them() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let refused = async |operation: &str, request: Value| tested.call(operation, request).await.unwrap_err();
    for uri in ["s3://bucket/none/", "s3://other/in"] {
        let data = json!({"InputDataConfig": [channel("train", "S3Prefix", uri, "File")]});
        let (code, words) = refused("CreateTrainingJob", job("data", "", data)).await;
        assert_eq!(code, "ValidationException");
        assert!(
            words.starts_with(&format!("No S3 objects found under S3 URL \"{uri}\" given in input data source.")),
            "{words}"
        );
        assert!(words.contains(ROLE) && words.contains("us-east-1"), "{words}");
    }
    let missing = json!({"TrainingJobName": "data"});
    for operation in ["DescribeTrainingJob", "StopTrainingJob"] {
        let (code, words) = refused(operation, missing.clone()).await;
        assert_eq!((code.as_str(), words.as_str()), ("ValidationException", "Requested resource not found."));
    }
    tested.create("twice", "", json!({})).await;
    let (code, words) = refused("CreateTrainingJob", job("twice", "", json!({}))).await;
    assert_eq!(code, "ResourceInUse");
    assert!(words.ends_with("already exists (arn:aws:sagemaker:us-east-1:000000000000:training-job/twice)"), "{words}");
    tested.ended("twice").await;
    let (_, words) = tested.stop("twice").await.unwrap_err();
    assert_eq!(words, "The request was rejected because the training job is in status Completed.");
    let local = json!({"ResourceConfig": {"InstanceType": "local", "InstanceCount": 1, "VolumeSizeInGB": 5}});
    let (_, words) = refused("CreateTrainingJob", job("kind", "", local)).await;
    assert!(
        words.starts_with("1 validation error detected: Value 'local' at 'resourceConfig.instanceType'"),
        "{words}"
    );

    for name in ["b-1", "b-2", "a-3"] {
        tested.create(name, "sys.exit(name_error)", json!({})).await;
        tested.ended(name).await;
    }
    let list = async |request: Value| {
        let answer = tested.call("ListTrainingJobs", request).await.unwrap();
        let jobs = answer["TrainingJobSummaries"].as_array().unwrap().clone();
        let names = jobs.iter().map(|job| job["TrainingJobName"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
        (names, answer)
    };
    assert_eq!(list(json!({})).await.0, ["twice", "b-1", "b-2", "a-3"], "the oldest first");
    assert_eq!(list(json!({"StatusEquals": "Completed"})).await.0, ["twice"]);
    assert_eq!(list(json!({"NameContains": "b-", "SortOrder": "Descending"})).await.0, ["b-2", "b-1"]);
    let (names, page) = list(json!({"SortBy": "Name", "MaxResults": 3})).await;
    assert_eq!(names, ["a-3", "b-1", "b-2"]);
    assert_eq!(page["TrainingJobSummaries"][0]["TrainingJobStatus"], "Failed");
    assert!(page["TrainingJobSummaries"][0]["TrainingEndTime"].is_number());
    let next = json!({"SortBy": "Name", "MaxResults": 3, "NextToken": page["NextToken"]});
    assert_eq!(list(next).await.0, ["twice"]);
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_has_what_sdks_index() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    tested.put("in/a", "x").await;
    let data = json!({"InputDataConfig": [channel("train", "S3Prefix", "s3://bucket/in/", "File")]});
    tested.create("j", "time.sleep(600)", data).await;
    // From the first description on.
    let described = tested.describe("j").await;
    for (path, value) in [
        ("/ModelArtifacts/S3ModelArtifacts", json!("s3://bucket/out/j/output/model.tar.gz")),
        ("/OutputDataConfig/KmsKeyId", json!("")),
        ("/OutputDataConfig/CompressionType", json!("GZIP")),
        ("/EnableNetworkIsolation", json!(false)),
        ("/EnableInterContainerTrafficEncryption", json!(false)),
        ("/EnableManagedSpotTraining", json!(false)),
        ("/AlgorithmSpecification/EnableSageMakerMetricsTimeSeries", json!(false)),
        ("/InputDataConfig/0/CompressionType", json!("None")),
        ("/InputDataConfig/0/RecordWrapperType", json!("None")),
        ("/InputDataConfig/0/DataSource/S3DataSource/S3DataDistributionType", json!("FullyReplicated")),
        ("/StoppingCondition/MaxRuntimeInSeconds", json!(3600)),
        ("/TrainingJobStatus", json!("InProgress")),
    ] {
        assert_eq!(described.pointer(path), Some(&value), "{path}: {described}");
    }
    for path in ["/CreationTime", "/LastModifiedTime", "/SecondaryStatusTransitions/0/StartTime"] {
        assert!(described.pointer(path).is_some_and(Value::is_number), "{path}: {described}");
    }
    assert!(described["SecondaryStatusTransitions"][0]["StatusMessage"].is_string(), "{described}");
    tested.until("j", "Training").await;
    tested.stop("j").await.unwrap();
    let ended = tested.ended("j").await;
    for name in ["TrainingStartTime", "TrainingEndTime", "TrainingTimeInSeconds", "BillableTimeInSeconds"] {
        assert!(ended[name].is_number(), "{name}: {ended}");
    }
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_has_every_object() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let put = async |number: usize| tested.put(&format!("many/{number}"), "x").await;
    // A page of S3's listing has 1000.
    for group in 0..11 {
        let puts = (0..100).map(|number| put(100 * group + number));
        futures::future::join_all(puts).await;
    }
    let script = "sys.exit(len(list((BASE / 'input/data/c').iterdir())) != 1100)";
    let data = json!({"InputDataConfig": [channel("c", "S3Prefix", "s3://bucket/many/", "File")]});
    tested.create("j", script, data).await;
    assert_eq!(tested.ended("j").await["TrainingJobStatus"], "Completed", "{}", log(folder.path(), "j"));
    tested.cloud.stop().await;
}

const UNTIL_TERM: &str = r#"
def end(*_):
    (BASE / "model/last").write_text("saved")
    sys.exit(code)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_job_may_save_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let is_ready = async |name: &str| {
        tested.until(name, "Training").await;
        eventually(async || log(folder.path(), name).contains("ready").then_some(())).await;
    };
    // Its program ends by itself, with an exit code that does not matter.
    tested.create("polite", &format!("code = 3{UNTIL_TERM}"), json!({})).await;
    is_ready("polite").await;
    tested.stop("polite").await.unwrap();
    let ended = tested.ended("polite").await;
    assert_eq!(statuses(&ended), ["Starting", "Downloading", "Training", "Stopping", "Uploading", "Stopped"]);
    assert_eq!((&ended["TrainingJobStatus"], &ended["FailureReason"]), (&json!("Stopped"), &Value::Null));
    assert_eq!(tested.archive("out/polite/output/model.tar.gz").await["last"], "saved");

    // The signal reaches a program behind a shell, too.
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/train.py");
    let behind = json!({"TrainingImage": "trainer", "TrainingInputMode": "File",
        "ContainerEntrypoint": ["/bin/sh", "-c", format!("{} & wait; wait", program.display())]});
    tested.create("shell", &format!("code = 0{UNTIL_TERM}"), json!({"AlgorithmSpecification": behind})).await;
    is_ready("shell").await;
    tested.stop("shell").await.unwrap();
    assert_eq!(tested.ended("shell").await["TrainingJobStatus"], "Stopped");

    // One that ignores the signal is killed after two minutes. What it has written is stored.
    let deaf = "(BASE / 'model/first').write_text('1'); signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True); time.sleep(600)";
    tested.create("deaf", deaf, json!({})).await;
    is_ready("deaf").await;
    tested.stop("deaf").await.unwrap();
    tested.until("deaf", "Stopping").await;
    tested.clock.advance(Duration::from_secs(119));
    assert_eq!(tested.describe("deaf").await["TrainingJobStatus"], "Stopping");
    // A second request changes nothing.
    tested.stop("deaf").await.unwrap();
    tested.clock.advance(Duration::from_secs(2));
    assert_eq!(tested.ended("deaf").await["TrainingJobStatus"], "Stopped");
    assert_eq!(tested.archive("out/deaf/output/model.tar.gz").await["first"], "1");

    // The time limit stops a job in the same way.
    let limit = json!({"StoppingCondition": {"MaxRuntimeInSeconds": 100}});
    tested.create("slow", &format!("code = 0{UNTIL_TERM}"), limit).await;
    is_ready("slow").await;
    tested.clock.advance(Duration::from_secs(100));
    let ended = tested.ended("slow").await;
    assert_eq!(
        (&ended["TrainingJobStatus"], &ended["SecondaryStatus"]),
        (&json!("Stopped"), &json!("MaxRuntimeExceeded"))
    );
    assert_eq!(tested.archive("out/slow/output/model.tar.gz").await["last"], "saved");
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_can_be_stored_as_files() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path()).await;
    let script = "(BASE / 'model/a').mkdir(); (BASE / 'model/a/b').write_text('weights')";
    let output = json!({"OutputDataConfig": {"S3OutputPath": "s3://bucket/out/", "CompressionType": "NONE"}});
    tested.create("files", script, output).await;
    let ended = tested.ended("files").await;
    assert_eq!(ended["ModelArtifacts"]["S3ModelArtifacts"], "s3://bucket/out/files/output/model/");
    assert_eq!(tested.object("out/files/output/model/a/b").await.unwrap(), b"weights");
    // An empty model is stored, too, and there is no archive of no output data.
    tested.create("empty", "", json!({})).await;
    tested.ended("empty").await;
    assert_eq!(tested.archive("out/empty/output/model.tar.gz").await.len(), 0);
    assert_eq!(tested.object("out/empty/output/output.tar.gz").await, None);
    tested.cloud.stop().await;
}
