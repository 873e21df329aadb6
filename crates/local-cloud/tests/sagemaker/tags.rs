//! Tags.

use serde_json::{Value, json};

use crate::cloud::Tested;

fn tag(key: &str, value: &str) -> Value {
    json!({"Key": key, "Value": value})
}

#[tokio::test]
async fn tags_are_kept_from_the_creation_and_gone_with_the_resource() {
    let folder = tempfile::tempdir().unwrap();
    let tested = Tested::start(folder.path(), "model.py").await;
    let container = json!({"Image": "model"});
    let model = json!({"ModelName": "Mine", "PrimaryContainer": container, "Tags": [tag("a", "1"), tag("b", "2")]});
    let arn = tested.sagemaker("CreateModel", model.clone()).await.unwrap()["ModelArn"].clone();
    let list = async || tested.sagemaker("ListTags", json!({"ResourceArn": arn})).await;
    assert_eq!(list().await.unwrap(), json!({"Tags": [tag("a", "1"), tag("b", "2")]}));

    let more = json!({"ResourceArn": arn, "Tags": [tag("b", "3"), tag("c", "")]});
    let all = json!({"Tags": [tag("a", "1"), tag("b", "3"), tag("c", "")]});
    assert_eq!(tested.sagemaker("AddTags", more).await.unwrap(), all);
    tested.cloud.stop().await;

    let tested = Tested::start(folder.path(), "model.py").await;
    let list = async || tested.sagemaker("ListTags", json!({"ResourceArn": arn})).await;
    assert_eq!(list().await.unwrap(), all, "tags are gone with the process");
    let less = json!({"ResourceArn": arn, "TagKeys": ["a", "z"]});
    assert_eq!(tested.sagemaker("DeleteTags", less).await.unwrap(), json!({}));
    assert_eq!(list().await.unwrap(), json!({"Tags": [tag("b", "3"), tag("c", "")]}));

    let many: Vec<Value> = (0..48).map(|number| tag(&format!("n{number:02}"), "x")).collect();
    tested.sagemaker("AddTags", json!({"ResourceArn": arn, "Tags": many})).await.unwrap();
    let (code, words) =
        tested.sagemaker("AddTags", json!({"ResourceArn": arn, "Tags": [tag("z", "")]})).await.unwrap_err();
    assert!(code == "ValidationException" && words.contains("50 are the most"), "{words}");
    assert_eq!(list().await.unwrap()["Tags"].as_array().unwrap().len(), 50);
    for bad in [json!([tag("aws:x", "1")]), json!([tag("a", "1"), tag("a", "2")]), json!([tag("", "1")]), json!([])] {
        let refused = tested.sagemaker("AddTags", json!({"ResourceArn": arn, "Tags": bad})).await;
        assert_eq!(refused.unwrap_err().0, "ValidationException", "{bad}");
    }

    tested.sagemaker("DeleteModel", json!({"ModelName": "Mine"})).await.unwrap();
    assert!(list().await.unwrap_err().1.starts_with("Could not find resource"));
    let mut bare = model;
    bare["Tags"] = json!([]);
    tested.sagemaker("CreateModel", bare).await.unwrap();
    assert_eq!(list().await.unwrap(), json!({"Tags": []}), "a new resource has the tags of a deleted one");
    tested.cloud.stop().await;
}
