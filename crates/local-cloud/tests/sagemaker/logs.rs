//! CloudWatch Logs, of what model servers print.

use serde_json::{Value, json};

use crate::cloud::{Tested, eventually};

const GROUP: &str = "/aws/sagemaker/Endpoints/talk";

fn messages(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()
}

/// A page of the stream, with these members of the input.
async fn page(tested: &Tested, stream: &str, more: &[(&str, Value)]) -> Value {
    let mut input = json!({"logGroupName": GROUP, "logStreamName": stream});
    more.iter().for_each(|(name, value)| input[*name] = value.clone());
    tested.logs("GetLogEvents", input).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_server_prints_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), "batch_model.py").await;
    let missing = tested.logs("DescribeLogStreams", json!({"logGroupName": GROUP})).await.unwrap_err();
    let words = "The specified log group does not exist.";
    assert_eq!(missing, ("ResourceNotFoundException".to_owned(), words.to_owned()));
    tested.endpoint("talk", json!({"PRINT": "zero one two three four"})).await;
    let stream = eventually(async || {
        let streams = tested.logs("DescribeLogStreams", json!({"logGroupName": GROUP})).await.ok()?;
        assert!(streams.get("nextToken").is_none(), "SDKs ask again for ever");
        Some(streams["logStreams"][0]["logStreamName"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(stream.starts_with("AllTraffic/i-"), "{stream}");
    eventually(async || (messages(&page(&tested, &stream, &[]).await).len() == 5).then_some(())).await;

    let head = ("startFromHead", json!(true));
    let first = page(&tested, &stream, &[head.clone(), ("limit", json!(2))]).await;
    assert_eq!(messages(&first), ["zero", "one"]);
    let next = |page: &Value| ("nextToken", page["nextForwardToken"].clone());
    let second = page(&tested, &stream, &[next(&first), ("limit", json!(3))]).await;
    assert_eq!(messages(&second), ["two", "three", "four"]);
    let end = page(&tested, &stream, &[next(&second)]).await;
    assert_eq!((messages(&end).len(), &end["nextForwardToken"]), (0, &second["nextForwardToken"]));
    let back = ("nextToken", second["nextBackwardToken"].clone());
    assert_eq!(messages(&page(&tested, &stream, &[back, ("limit", json!(1))]).await), ["one"]);
    assert_eq!(messages(&page(&tested, &stream, &[("limit", json!(2))]).await), ["three", "four"], "the last ones");
    let time = first["events"][0]["timestamp"].as_i64().unwrap();
    assert_eq!(messages(&page(&tested, &stream, &[head, ("endTime", json!(time))]).await).len(), 0);

    let filter = async |more: Value| {
        let mut input = json!({"logGroupName": GROUP});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tested.logs("FilterLogEvents", input).await.unwrap()
    };
    let found = filter(json!({"filterPattern": "o -two", "limit": 2})).await;
    assert_eq!(messages(&found), ["zero", "one"]);
    assert_eq!(found["events"][0]["logStreamName"], stream.as_str());
    let rest = filter(json!({"filterPattern": "o -two", "limit": 2, "nextToken": found["nextToken"]})).await;
    assert_eq!((messages(&rest), rest.get("nextToken")), (vec!["four"], None));
    assert_eq!(messages(&filter(json!({"logStreamNamePrefix": "Other"})).await).len(), 0);

    let groups = tested.logs("DescribeLogGroups", json!({"logGroupNamePrefix": "/aws/sagemaker/"})).await.unwrap();
    assert_eq!(
        (&groups["logGroups"][0]["logGroupName"], groups["logGroups"].as_array().unwrap().len()),
        (&json!(GROUP), 1)
    );
    for (operation, input, code) in [
        ("GetLogEvents", json!({"logGroupName": GROUP, "logStreamName": "none"}), "ResourceNotFoundException"),
        (
            "GetLogEvents",
            json!({"logGroupName": GROUP, "logStreamName": stream, "nextToken": "x"}),
            "InvalidParameterException",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": GROUP, "filterPattern": "{ $.a = 1 }"}),
            "InvalidParameterException",
        ),
        ("DescribeLogStreams", json!({"logGroupName": GROUP, "limit": 51}), "InvalidParameterException"),
        ("DescribeLogGroups", json!({"includeLinkedAccounts": true}), "InvalidParameterException"),
        ("PutLogEvents", json!({}), "NotImplemented"),
    ] {
        assert_eq!(tested.logs(operation, input.clone()).await.unwrap_err().0, code, "{operation} {input}");
    }
    tested.cloud.stop().await;

    // Events survive a restart, and the next instance has a stream of its own.
    let tested = Tested::start(folder.path(), "batch_model.py").await;
    let before = page(&tested, &stream, &[("startFromHead", json!(true))]).await;
    assert_eq!(messages(&before), ["zero", "one", "two", "three", "four"]);
    let streams = async || tested.logs("DescribeLogStreams", json!({"logGroupName": GROUP, "limit": 1})).await.unwrap();
    eventually(async || streams().await.get("nextToken").map(drop)).await;
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_training_job_prints_is_there_before_its_last_status() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), "batch_model.py").await;
    let job = json!({
        "TrainingJobName": "t", "RoleArn": "arn:aws:iam::000000000000:role/r",
        "AlgorithmSpecification": {"TrainingImage": "model", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "Environment": {"PRINT": "one two", "EXIT": "no data"},
        "Tags": [{"Key": "team", "Value": "a"}],
    });
    let arn = tested.sagemaker("CreateTrainingJob", job).await.unwrap()["TrainingJobArn"].clone();
    let describe = async || tested.sagemaker("DescribeTrainingJob", json!({"TrainingJobName": "t"})).await.unwrap();
    eventually(async || (describe().await["TrainingJobStatus"] == "Failed").then_some(())).await;
    let group = "/aws/sagemaker/TrainingJobs";
    let streams = tested.logs("DescribeLogStreams", json!({"logGroupName": group, "logStreamNamePrefix": "t/"})).await;
    let name = streams.unwrap()["logStreams"][0]["logStreamName"].as_str().unwrap().to_owned();
    assert!(name.starts_with("t/algo-1-"), "{name}");
    let events = json!({"logGroupName": group, "logStreamName": name, "startFromHead": true});
    let events = tested.logs("GetLogEvents", events).await.unwrap();
    assert_eq!(messages(&events)[1..], ["one", "two", "no data"]);
    let tags = tested.sagemaker("ListTags", json!({"ResourceArn": arn})).await.unwrap();
    assert_eq!(tags, json!({"Tags": [{"Key": "team", "Value": "a"}]}));
    tested.cloud.stop().await;
}
