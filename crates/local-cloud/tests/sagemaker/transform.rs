//! Batch transform over plain HTTP, with a model server whose behaviour the records choose.
//!
//! SageMaker's contract for batch transform, rule by rule, and the test that holds it. `src` stands for tests beside the code.
//!
//! | rule | | test |
//! |---|---|---|
//! | B1 | the answer has the ARN, with the name in small letters | `every_object_becomes_an_output_of_its_name` |
//! | B2 | limits, patterns and lists of values of every member | src `control_plane/transform_request` |
//! | B3 | a name that is taken: `ResourceInUse` | `every_object_becomes_an_output_of_its_name` |
//! | B4 | a missing model is refused; one that is deleted later is not missed | `a_job_whose…`, `the_next_start_goes_on_where_a_job_was` |
//! | B5 | `MaxConcurrentTransforms` times `MaxPayloadInMB` is 100 at most | src `control_plane/transform_request` |
//! | B6 | a description has the defaults, and times in their order | `every_object_becomes_an_output_of_its_name` |
//! | B7 | lists: the newest first, filters, pages | `every_object…`, `a_bad_record_costs_its_object_and_fails_the_job` |
//! | B8 | to stop: no output of what was not complete; a job that has ended cannot be stopped | `a_stopped_job_keeps_the_outputs_that_were_complete` |
//! | B9 | the variables of the container; those of the job override the model's | `the_request_beats_the_container_which_beats_the_defaults` |
//! | B10 | `/execution-parameters`: after the request, before the defaults | `the_request_beats_the_container_which_beats_the_defaults` |
//! | B11 | the objects of a prefix, a key or a manifest; markers of folders are left out | `every_object…`, `manifests_name_the_objects` |
//! | B12 | `SplitType`: padding is taken off for single records only | `an_object_is_split_as_its_format_says`; src `transform/split` |
//! | B13 | `CompressionType: Gzip` | `an_object_is_split_as_its_format_says` |
//! | B14 | `MultiRecord`: as many records as fit, never of two objects | `every_object…`; src `transform/batches` |
//! | B15 | a record beyond `MaxPayloadInMB` is bad | `a_bad_record_costs_its_object_and_fails_the_job` |
//! | B16 | `MaxPayloadInMB: 0` sends an object in chunks | `an_object_is_split_as_its_format_says` |
//! | B17 | several requests at once; the answers keep the order of the records | `answers_keep_the_order_of_the_records` |
//! | B18 | 5xx, timeouts and broken connections are repeated, 4xx not | `a_bad_record_costs_its_object_and_fails_the_job` |
//! | B19 | the key of an output; two objects with the same one fail the job | `every_object…`, `manifests_name_the_objects`; src `transform/inputs` |
//! | B20 | `AssembleWith` | `every_object_becomes_an_output_of_its_name` |
//! | B21 | filters: what SageMaker's JSONPath takes | `records_are_filtered_and_joined`; src `transform/path` |
//! | B22 | a join takes the unfiltered record | `records_are_filtered_and_joined`; src `transform/filters` |
//! | B23 | with filters, a model answers a line for a record | src `transform/filters` |
//! | B24 | a bad record costs its object, and the others keep their outputs | `a_bad_record_costs_its_object_and_fails_the_job` |
//! | B25 | the data log has the reason, in SageMaker's lines | `a_bad_record_costs_its_object_and_fails_the_job` |
//! | B26 | a server that does not start, and an image that is not there, fail the job | `a_job_whose_server_does_not_start_fails` |
//! | B27 | the containers of a model are asked one after the other | `records_pass_through_the_containers_of_a_pipeline` |
//! | B28 | a killed job goes on, each record once in the output | `the_next_start_goes_on_where_a_job_was` |
//! | B29 | tags are kept, and gone with the resource | `tests/sagemaker/tags` |

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use crate::cloud::{Tested, eventually};

/// A cloud over a folder, and the requests of its jobs.
struct Batch {
    folder: tempfile::TempDir,
    tested: Tested,
}

impl Batch {
    /// A cloud with a model `m` that has this environment.
    async fn start(environment: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tested = Tested::start(folder.path(), "batch_model.py").await;
        let container = json!({"Image": "model", "Environment": environment});
        tested.sagemaker("CreateModel", json!({"ModelName": "m", "PrimaryContainer": container})).await.unwrap();
        Self { folder, tested }
    }

    async fn restart(self) -> Self {
        self.tested.cloud.stop().await;
        let tested = Tested::start(self.folder.path(), "batch_model.py").await;
        Self { folder: self.folder, tested }
    }

    async fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        // The client says nothing of an empty body.
        let request = self.tested.request("s3", "PUT", &format!("/bucket/{key}")).header("content-length", bytes.len());
        let answer = request.body(bytes).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn object(&self, key: &str) -> Option<String> {
        let answer = self.tested.request("s3", "GET", &format!("/bucket/{key}")).send().await.unwrap();
        if answer.status().is_success() { Some(answer.text().await.unwrap()) } else { None }
    }

    /// The request of a job over `in/` in lines, with changes by their JSON pointers.
    fn request(name: &str, changes: &[(&str, Value)]) -> Value {
        let mut request = json!({
            "TransformJobName": name, "ModelName": "m",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in/"}},
                "ContentType": "text/csv", "SplitType": "Line",
            },
            "TransformOutput": {"S3OutputPath": "s3://bucket/out", "Accept": "text/csv", "AssembleWith": "Line"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
            "ModelClientConfig": {"InvocationsMaxRetries": 1},
        });
        for (path, value) in changes {
            let (parent, name) = path.rsplit_once('/').unwrap();
            request.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        request
    }

    async fn begin(&self, name: &str, changes: &[(&str, Value)]) {
        let created = self.tested.sagemaker("CreateTransformJob", Self::request(name, changes)).await.unwrap();
        assert_eq!(
            created["TransformJobArn"],
            format!("arn:aws:sagemaker:us-east-1:000000000000:transform-job/{}", name.to_lowercase())
        );
    }

    async fn describe(&self, name: &str) -> Value {
        self.tested.sagemaker("DescribeTransformJob", json!({"TransformJobName": name})).await.unwrap()
    }

    /// The description of a job that has ended with this status.
    async fn end(&self, name: &str, status: &str) -> Value {
        let described = eventually(async || {
            let described = self.describe(name).await;
            let running = ["InProgress", "Stopping"].contains(&described["TransformJobStatus"].as_str().unwrap());
            (!running).then_some(described)
        })
        .await;
        assert_eq!(described["TransformJobStatus"], status, "{described}");
        described
    }

    async fn run(&self, name: &str, changes: &[(&str, Value)]) -> Value {
        self.begin(name, changes).await;
        self.end(name, "Completed").await
    }

    /// Waits until the files of all jobs are removed, which follows their last status.
    async fn leaves_no_files(&self) {
        let jobs = self.folder.path().join("data/sagemaker-jobs/transform");
        eventually(async || (std::fs::read_dir(&jobs).unwrap().count() == 0).then_some(())).await;
    }

    /// The lines that the model server has noted since the last time.
    fn notes(&self) -> Vec<String> {
        let path = self.folder.path().join("notes");
        let notes = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        notes.lines().filter(|line| line.starts_with("request ")).map(str::to_owned).collect()
    }

    /// The lines of a job's data log, without their times.
    async fn data_log(&self, name: &str) -> Vec<String> {
        let group = "/aws/sagemaker/TransformJobs";
        let input = json!({"logGroupName": group, "logStreamNamePrefix": format!("{name}/")});
        let found = self.tested.logs("FilterLogEvents", input).await.unwrap();
        let lines = found["events"].as_array().unwrap().iter();
        let lines = lines.filter(|event| event["logStreamName"].as_str().unwrap().ends_with("/data-log"));
        let text =
            |event: &Value| event["message"].as_str().unwrap().split_once(":[sagemaker logs]: ").unwrap().1.to_owned();
        lines.map(text).collect()
    }
}

/// A body as the model server notes it.
fn noted(body: &str) -> String {
    format!("request text/csv text/csv b'{}'", body.replace('\n', "\\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_becomes_an_output_of_its_name() {
    let batch = Batch::start(json!({})).await;
    batch.put("in/a.csv", "one\ntwo\n").await;
    batch.put("in/deep/b.csv", "three").await;
    batch.put("in/folder/", "").await;
    let described = batch.run("j", &[]).await;
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "ONE\nTWO\n");
    assert_eq!(batch.object("out/deep/b.csv.out").await.unwrap(), "THREE\n");
    assert_eq!(batch.object("out/folder/.out").await, None);
    assert_eq!(batch.notes(), [noted("one\ntwo"), noted("three")]);
    for (path, value) in [
        ("/TransformInput/CompressionType", json!("None")),
        ("/TransformOutput/KmsKeyId", json!("")),
        ("/DataProcessing/JoinSource", json!("None")),
        ("/ModelName", json!("m")),
    ] {
        assert_eq!(described.pointer(path), Some(&value), "{path}");
    }
    let time = |name: &str| described[name].as_f64().unwrap();
    assert!(
        time("CreationTime") <= time("TransformStartTime") && time("TransformStartTime") <= time("TransformEndTime")
    );
    assert_eq!(batch.data_log("j").await, ["MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD"]);

    // A whole key as the prefix, one record a request, and no newline after an answer.
    let key = ("/TransformInput/DataSource/S3DataSource/S3Uri", json!("s3://bucket/in/a.csv"));
    let output = ("/TransformOutput/S3OutputPath", json!("s3://bucket"));
    let single = ("/BatchStrategy", json!("SingleRecord"));
    batch.run("Whole", &[key, output, single, ("/TransformOutput/AssembleWith", json!("None"))]).await;
    assert_eq!(batch.object("a.csv.out").await.unwrap(), "ONETWO");
    assert_eq!(batch.notes(), [noted("one"), noted("two")]);
    let again = batch.tested.sagemaker("CreateTransformJob", Batch::request("WHOLE", &[])).await.unwrap_err();
    assert_eq!(again.0, "ResourceInUse");
    let listed = batch.tested.sagemaker("ListTransformJobs", json!({"MaxResults": 1})).await.unwrap();
    let summary = &listed["TransformJobSummaries"][0];
    assert_eq!((&summary["TransformJobName"], &summary["TransformJobStatus"]), (&json!("Whole"), &json!("Completed")));
    let listed = batch.tested.sagemaker("ListTransformJobs", json!({"NextToken": listed["NextToken"]})).await.unwrap();
    assert_eq!(listed["TransformJobSummaries"][0]["TransformJobName"], "j");
    batch.leaves_no_files().await;
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_split_as_its_format_says() {
    let batch = Batch::start(json!({"ANSWER": "length"})).await;
    let record_io = |part: &str| {
        let mut bytes = [0xced7_230a_u32.to_le_bytes(), u32::try_from(part.len()).unwrap().to_le_bytes()].concat();
        bytes.extend(part.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let tf_record =
        |part: &str| [&(part.len() as u64).to_le_bytes(), b"CRC1".as_slice(), part.as_bytes(), b"CRC2"].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"1\n22\n").unwrap();
    batch.put("rio/x", [record_io("hello"), record_io("a")].concat()).await;
    batch.put("tf/x", [tf_record("hello"), tf_record("a")].concat()).await;
    batch.put("gz/x", gzip.finish().unwrap()).await;
    batch.put("none/x", "a\nb\n").await;
    for (number, (folder, split, strategy, expected)) in [
        ("rio", "RecordIO", "SingleRecord", "5\n1\n"),
        ("rio", "RecordIO", "MultiRecord", "28\n"),
        ("tf", "TFRecord", "SingleRecord", "5\n1\n"),
        ("tf", "TFRecord", "MultiRecord", "38\n"),
        ("gz", "Line", "SingleRecord", "1\n2\n"),
        ("none", "None", "MultiRecord", "4\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let compression = if folder == "gz" { "Gzip" } else { "None" };
        batch
            .run(
                &format!("j{number}"),
                &[
                    ("/TransformInput/DataSource/S3DataSource/S3Uri", json!(format!("s3://bucket/{folder}/"))),
                    ("/TransformInput/SplitType", json!(split)),
                    ("/TransformInput/CompressionType", json!(compression)),
                    ("/BatchStrategy", json!(strategy)),
                ],
            )
            .await;
        assert_eq!(batch.object("out/x.out").await.unwrap(), expected, "{split} {strategy}");
    }
    // A payload without a limit goes in chunks.
    batch.notes();
    batch
        .run(
            "chunked",
            &[
                ("/MaxPayloadInMB", json!(0)),
                ("/TransformInput/DataSource/S3DataSource/S3Uri", json!("s3://bucket/none/")),
            ],
        )
        .await;
    assert_eq!(batch.notes(), ["request text/csv text/csv chunked b'a\\nb'"]);
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_name_the_objects() {
    let batch = Batch::start(json!({})).await;
    batch.put("in/x/1.csv", "one").await;
    batch.put("in/2.csv", "two").await;
    batch.put("in/3.csv", "three").await;
    batch.put("list.manifest", r#"[{"prefix": "s3://bucket/in/"}, "x/1.csv", "2.csv"]"#).await;
    batch.put("twice.manifest", r#"[{"prefix": "s3://bucket/in/"}, "2.csv", "/2.csv"]"#).await;
    batch.put("augmented.manifest", "{\"source-ref\": \"s3://bucket/in/3.csv\", \"label\": 1}\n").await;
    let source = |kind: &str, uri: &str| {
        [
            ("/TransformInput/DataSource/S3DataSource/S3DataType", json!(kind)),
            ("/TransformInput/DataSource/S3DataSource/S3Uri", json!(format!("s3://bucket/{uri}"))),
        ]
    };
    batch.run("j", &source("ManifestFile", "list.manifest")).await;
    assert_eq!(batch.object("out/x/1.csv.out").await.unwrap(), "ONE\n");
    assert_eq!(batch.object("out/2.csv.out").await.unwrap(), "TWO\n");
    assert_eq!(batch.object("out/3.csv.out").await, None);
    batch.run("k", &source("AugmentedManifestFile", "augmented.manifest")).await;
    assert_eq!(batch.object("out/in/3.csv.out").await.unwrap(), "THREE\n");
    for (name, uri, words) in [
        ("no-list", "in/2.csv", "ClientError: the manifest s3://bucket/in/2.csv is not a list"),
        ("twice", "twice.manifest", "ClientError: s3://bucket/in/2.csv and s3://bucket/in//2.csv would have the same"),
        ("no-manifest", "gone", "ClientError: the input s3://bucket/gone cannot be read: there is no object gone"),
    ] {
        batch.begin(name, &source("ManifestFile", uri)).await;
        let reason = batch.end(name, "Failed").await["FailureReason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with(words), "{reason}");
    }
    batch.begin("nothing", &source("S3Prefix", "nothing/")).await;
    let reason = batch.end("nothing", "Failed").await["FailureReason"].clone();
    assert!(reason.as_str().unwrap().starts_with("ClientError: No S3 objects found under S3 URL"), "{reason}");
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_filtered_and_joined() {
    let batch = Batch::start(json!({"ANSWER": "sum"})).await;
    batch.put("in/a.csv", "id1,1,2\nid2,3,4\n").await;
    let processing = |input: &str, output: &str, join: &str| {
        ("/DataProcessing", json!({"InputFilter": input, "OutputFilter": output, "JoinSource": join}))
    };
    batch.run("j", &[processing("$[1:]", "$[0,-1]", "Input")]).await;
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "id1,3.0\nid2,7.0\n");
    assert_eq!(batch.notes(), [noted("1,2\n3,4")], "only the model's input is filtered");
    batch.begin("beyond", &[processing("$[9]", "$", "None")]).await;
    let reason = batch.end("beyond", "Failed").await["FailureReason"].clone();
    assert_eq!(reason, "ClientError: See job logs for more information");
    let log = batch.data_log("beyond").await;
    assert_eq!(log[1], "bucket/in/a.csv: ClientError: the record has no element 9: it has 3");
    batch.tested.cloud.stop().await;

    let batch = Batch::start(json!({"ANSWER": "json"})).await;
    batch.put("in/a.jsonl", "{\"id\": 1, \"x\": [5, 6]}\n{\"id\": 2, \"x\": []}\n").await;
    let lines = json!("application/jsonlines");
    let types = [("/TransformInput/ContentType", lines.clone()), ("/TransformOutput/Accept", lines)];
    let [content, accept] = types;
    batch.run("j", &[content, accept, processing("$.x", "$['id','SageMakerOutput']", "Input")]).await;
    let found = batch.object("out/a.jsonl.out").await.unwrap();
    let found: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found, [json!({"id": 1, "SageMakerOutput": {"n": 2}}), json!({"id": 2, "SageMakerOutput": {"n": 0}})]);
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_beats_the_container_which_beats_the_defaults() {
    let parameters = r#"{"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}"#;
    let batch =
        Batch::start(json!({"ANSWER": "env", "PARAMETERS": parameters, "MINE": "model", "MINE_TOO": "model"})).await;
    batch.put("in/a.csv", "x\ny").await;
    let job = ("/Environment", json!({"MINE": "job"}));
    batch.run("j", std::slice::from_ref(&job)).await;
    assert_eq!(batch.data_log("j").await, ["MaxConcurrentTransforms=3, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD"]);
    let environment = async || {
        let text = batch.object("out/a.csv.out").await.unwrap();
        let mut environment: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        environment.as_object_mut().unwrap().remove("SAGEMAKER_BIND_TO_PORT").unwrap();
        environment
    };
    assert_eq!(environment().await, json!({"SAGEMAKER_BATCH": "true", "MINE": "job", "MINE_TOO": "model"}));
    let given = [
        ("/MaxPayloadInMB", json!(1)),
        ("/BatchStrategy", json!("MultiRecord")),
        ("/MaxConcurrentTransforms", json!(2)),
        job,
    ];
    batch.run("k", &given).await;
    assert_eq!(batch.data_log("k").await, ["MaxConcurrentTransforms=2, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD"]);
    let expected = json!({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1", "MINE": "job", "MINE_TOO": "model",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2"});
    assert_eq!(environment().await, expected);
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_costs_its_object_and_fails_the_job() {
    let batch = Batch::start(json!({"PRINT": "hello"})).await;
    batch.put("in/a.csv", "one\nbad\ntwo").await;
    batch.put("in/b.csv", "fine").await;
    batch.begin("client", &[("/BatchStrategy", json!("SingleRecord"))]).await;
    let described = batch.end("client", "Failed").await;
    assert_eq!(described["FailureReason"], "ClientError: See job logs for more information");
    assert_eq!(batch.object("out/a.csv.out").await, None);
    assert_eq!(batch.object("out/b.csv.out").await.unwrap(), "FINE\n");
    assert_eq!(batch.object("out/_records.jsonl").await, None, "nobody asked for it");
    let of = |text: &str| format!("bucket/in/a.csv: {text}");
    let expected = [of("ClientError: 400"), of(""), of("Message:"), of("no bad words"), of("here")];
    assert_eq!(batch.data_log("client").await[1..], expected);
    let bad = |request: &String| request.contains("bad");
    assert_eq!(batch.notes().iter().filter(|request| bad(request)).count(), 1, "a refusal is not repeated");

    batch.put("in/a.csv", "one\nbroken").await;
    batch.begin("server", &[("/ModelClientConfig", json!({"InvocationsMaxRetries": 2}))]).await;
    let described = batch.end("server", "Failed").await;
    assert_eq!(described["FailureReason"], "AlgorithmError: See job logs for more information");
    assert_eq!(batch.data_log("server").await[1], of("Bad HTTP status received from algorithm: 500"));
    assert_eq!(batch.notes().iter().filter(|request| request.contains("broken")).count(), 3);

    batch.put("in/a.csv", "slow").await;
    batch
        .begin("slow", &[("/ModelClientConfig", json!({"InvocationsMaxRetries": 0, "InvocationsTimeoutInSeconds": 1}))])
        .await;
    batch.end("slow", "Failed").await;
    assert!(batch.data_log("slow").await[1].starts_with(&of("Unable to get response from algorithm")));

    batch.put("in/a.csv", "x".repeat((1 << 20) + 1)).await;
    batch.begin("large", &[("/MaxPayloadInMB", json!(1))]).await;
    batch.end("large", "Failed").await;
    assert_eq!(
        batch.data_log("large").await[1],
        of("ClientError: the record is larger than MaxPayloadInMB, which is 1048576 bytes")
    );

    let listed = json!({"StatusEquals": "Failed", "NameContains": "l", "SortBy": "Name", "SortOrder": "Ascending"});
    let listed = batch.tested.sagemaker("ListTransformJobs", listed).await.unwrap();
    let names = listed["TransformJobSummaries"].as_array().unwrap().iter().map(|job| &job["TransformJobName"]);
    assert_eq!(names.collect::<Vec<_>>(), ["client", "large", "slow"]);

    // What is repeated and then answered costs nothing, nor does a server that dies once.
    batch.put("in/a.csv", "once").await;
    batch.run("repeated", &[]).await;
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "ONCE\n");
    let input = json!({"logGroupName": "/aws/sagemaker/TransformJobs", "logStreamNamePrefix": "repeated/"});
    let streams = batch.tested.logs("DescribeLogStreams", input).await.unwrap();
    assert_eq!(streams["logStreams"].as_array().unwrap().len(), 2, "the server's output and the data log: {streams}");
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_server_does_not_start_fails() {
    let batch = Batch::start(json!({"EXIT": "no such weights"})).await;
    batch.put("in/a.csv", "one").await;
    batch.begin("exits", &[]).await;
    let reason = batch.end("exits", "Failed").await["FailureReason"].as_str().unwrap().to_owned();
    let words = "AlgorithmError: The primary container for transform job exits did not pass the ping health check";
    assert!(reason.starts_with(words) && reason.ends_with("no such weights"), "{reason}");
    let image = json!({"ModelName": "other", "PrimaryContainer": {"Image": "other:1"}});
    batch.tested.sagemaker("CreateModel", image).await.unwrap();
    batch.begin("image", &[("/ModelName", json!("other"))]).await;
    let reason = batch.end("image", "Failed").await["FailureReason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("ClientError: Cannot pull algorithm container. The image \"other:1\""), "{reason}");
    let missing =
        batch.tested.sagemaker("CreateTransformJob", Batch::request("x", &[("/ModelName", json!("gone"))])).await;
    let words = "Could not find model \"arn:aws:sagemaker:us-east-1:000000000000:model/gone\".";
    assert_eq!(missing.unwrap_err(), ("ValidationException".to_owned(), words.to_owned()));
    batch.tested.cloud.stop().await;
}

fn statuses(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_tag_a_bad_record_costs_one_record_and_a_job_resumes() {
    let batch = Batch::start(json!({})).await;
    let tag = |value: &str| ("/Tags", json!([{"Key": "local-cloud:bad-records", "Value": value}]));
    batch.put("in/a.csv", "one\nbad\ntwo\n").await;
    batch.put("in/b.csv", "broken\nthree\n").await;
    batch.run("first", &[tag("skip"), ("/MaxConcurrentTransforms", json!(3))]).await;
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "ONE\nTWO\n");
    assert_eq!(batch.object("out/b.csv.out").await.unwrap(), "THREE\n");
    let lines = statuses(&batch.object("out/_records.jsonl").await.unwrap());
    let shown: Vec<_> = lines
        .iter()
        .map(|line| {
            (line["object"].as_str().unwrap(), line["record"].as_u64().unwrap(), line["status"].as_str().unwrap())
        })
        .collect();
    let (a, b) = ("s3://bucket/in/a.csv", "s3://bucket/in/b.csv");
    assert_eq!(shown, [(a, 0, "answered"), (a, 1, "failed"), (a, 2, "answered"), (b, 0, "failed"), (b, 1, "answered")]);
    assert_eq!(lines[1]["error"], "ClientError: 400: no bad words\nhere");
    let answer = &lines[2]["answer"];
    assert_eq!(
        (&answer["output"], &answer["offset"], &answer["length"]),
        (&json!("s3://bucket/out/a.csv.out"), &json!(4), &json!(4))
    );

    // Only the failed records are sent again, and those of an object that changed.
    batch.notes();
    batch.put("in/b.csv", "four\nthree\n").await;
    batch.run("second", &[tag("resume")]).await;
    let mut sent = batch.notes();
    sent.sort();
    assert_eq!(sent, [noted("bad"), noted("four"), noted("three")]);
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "ONE\nTWO\n");
    assert_eq!(batch.object("out/b.csv.out").await.unwrap(), "FOUR\nTHREE\n");
    // Another output format is another job: nothing is taken over.
    let none = ("/TransformOutput/AssembleWith", json!("None"));
    batch.run("third", &[tag("resume"), none]).await;
    assert_eq!(batch.notes().len(), 5);
    assert_eq!(batch.object("out/b.csv.out").await.unwrap(), "FOURTHREE");

    batch.put("in/a.csv", "bad").await;
    batch.put("in/b.csv", "bad").await;
    batch.begin("none", &[tag("skip")]).await;
    let reason = batch.end("none", "Failed").await["FailureReason"].clone();
    assert_eq!(reason, "AlgorithmError: No record was answered. See job logs for more information");
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_the_order_of_the_records() {
    let batch = Batch::start(json!({})).await;
    batch.put("in/a.csv", "wait\nb\nc\nd\n").await;
    batch.begin("j", &[("/BatchStrategy", json!("SingleRecord")), ("/MaxConcurrentTransforms", json!(3))]).await;
    // Three are sent while the first one waits, and the fourth is not.
    let notes = batch.folder.path().join("notes");
    let sent = async || {
        let notes = std::fs::read_to_string(&notes).unwrap_or_default();
        let sent: Vec<_> =
            ["wait", "b", "c", "d"].into_iter().filter(|record| notes.contains(&noted(record))).collect();
        (sent.len() >= 3).then_some(sent)
    };
    assert_eq!(eventually(sent).await, ["wait", "b", "c"]);
    write(batch.folder.path(), "notes.go");
    batch.end("j", "Completed").await;
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "WAIT\nB\nC\nD\n");
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_job_keeps_the_outputs_that_were_complete() {
    let batch = Batch::start(json!({})).await;
    batch.put("in/a.csv", "one").await;
    batch.put("in/b.csv", "slow").await;
    batch.begin("j", &[]).await;
    eventually(async || batch.object("out/a.csv.out").await).await;
    let stop = async || batch.tested.sagemaker("StopTransformJob", json!({"TransformJobName": "j"})).await;
    assert_eq!(stop().await.unwrap(), json!({}));
    let described = batch.end("j", "Stopped").await;
    assert!(described["TransformEndTime"].is_number() && described["FailureReason"].is_null());
    assert_eq!(batch.object("out/b.csv.out").await, None);
    let words = "The request was rejected because the transform job is in status Stopped.";
    assert_eq!(stop().await.unwrap_err(), ("ValidationException".to_owned(), words.to_owned()));
    batch.tested.cloud.stop().await;
}

fn write(folder: &Path, name: &str) {
    std::fs::write(folder.join(name), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_goes_on_where_a_job_was() {
    let mut batch = Batch::start(json!({})).await;
    let records: Vec<String> = (0..20).map(|n| if n == 10 { "wait".to_owned() } else { format!("r{n}") }).collect();
    batch.put("in/a.csv", "done").await;
    batch.put("in/b.csv", records.join("\n")).await;
    batch.begin("j", &[("/BatchStrategy", json!("SingleRecord"))]).await;
    // The eleventh record waits.
    let log = batch.folder.path().join("notes");
    let waits = async || std::fs::read_to_string(&log).unwrap_or_default().contains("wait").then_some(());
    eventually(waits).await;
    batch.tested.sagemaker("DeleteModel", json!({"ModelName": "m"})).await.unwrap();
    batch = batch.restart().await;
    assert_eq!(batch.describe("j").await["TransformJobStatus"], "InProgress");
    write(batch.folder.path(), "notes.go");
    batch.end("j", "Completed").await;
    let expected: String = records.iter().map(|record| format!("{}\n", record.to_uppercase())).collect();
    assert_eq!(batch.object("out/b.csv.out").await.unwrap(), expected);
    let notes = batch.notes();
    let count = |record: &str| notes.iter().filter(|note| **note == noted(record)).count();
    assert_eq!((count("done"), count("r0"), count("r9"), count("wait"), count("r11")), (1, 1, 1, 2, 1));
    batch.leaves_no_files().await;
    batch.tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_pass_through_the_containers_of_a_pipeline() {
    let batch = Batch::start(json!({})).await;
    let of = |answer: &str| json!({"Image": "model", "Environment": {"ANSWER": answer}});
    let model = json!({"ModelName": "row", "Containers": [of("sum"), of("length")]});
    batch.tested.sagemaker("CreateModel", model).await.unwrap();
    batch.put("in/a.csv", "1,2\n3,40\n").await;
    let single = ("/BatchStrategy", json!("SingleRecord"));
    batch.run("j", &[("/ModelName", json!("row")), single]).await;
    assert_eq!(batch.object("out/a.csv.out").await.unwrap(), "3\n4\n", "the lengths of 3.0 and 43.0");
    let first = "request text/csv */* b'1,2'";
    let second = "request text/csv text/csv b'3.0'";
    assert_eq!(batch.notes()[..2], [first, second]);
    batch.leaves_no_files().await;
    batch.tested.cloud.stop().await;
}
