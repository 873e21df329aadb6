//! Attacks on a running `up`, each as its attacker would make it. `docs/threat-model.md` names them.

use aws_sdk_s3::presigning::PresigningConfig;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Up, picture};

const PAGE: &str = "<script>fetch('/', {method: 'POST'})</script>";

fn header(answer: &reqwest::Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// A page that somebody stored runs no script, and has the origin of nobody, wherever a browser opens it.
#[tokio::test]
async fn a_stored_page_has_no_power() {
    let up = Up::start();
    let s3 = up.s3().await;
    let revision = "0123456789ab";
    for (bucket, key) in
        [("portraits", "uploads/page".to_owned()), ("time-traveler", format!("images/ada/{revision}/0.jpg"))]
    {
        let put = s3.put_object().bucket(bucket).key(&key).content_type("text/html");
        put.body(PAGE.as_bytes().to_vec().into()).send().await.unwrap();
    }
    let signed = async |key: &str| {
        let expiry = PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap();
        s3.get_object().bucket("portraits").key(key).presigned(expiry).await.unwrap().uri().to_owned()
    };
    let made_up = format!("{}/portraits/uploads/page?AWSAccessKeyId=A&Signature=x&Expires=99999999999", up.aws);
    let image = format!("{}/images/ada/{revision}/0.jpg", up.api);
    for url in [signed("uploads/page").await, signed("uploads/none").await, made_up, image] {
        let answer = up.http.get(&url).send().await.unwrap();
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{url}: {}", answer.status());
        let policy = header(&answer, "content-security-policy");
        assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{url}: {policy}");
        assert!(!policy.contains("allow-scripts") && !policy.contains("allow-same-origin"), "{policy}");
    }
}

/// No page, of this machine or of another, not even a sandboxed one, can use a service beside S3.
#[tokio::test]
async fn no_page_can_use_a_service() {
    let up = Up::start();
    let call = async |service: &str, target: &str, headers: &[(&'static str, String)]| {
        let scope = format!("AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/{service}/aws4_request, Signature=0");
        let mut request = up.http.post(&up.aws).header("authorization", scope).header("x-amz-target", target);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.body("{}").send().await.unwrap().status()
    };
    for (service, target) in [
        ("sagemaker", "SageMaker.ListModels"),
        ("dynamodb", "DynamoDB_20120810.ListTables"),
        ("sqs", "AmazonSQS.ListQueues"),
    ] {
        assert_eq!(call(service, target, &[]).await, StatusCode::OK, "{service}");
        for origin in
            [up.aws.clone(), "http://localhost:3000".to_owned(), "null".to_owned(), "https://evil.example".to_owned()]
        {
            assert_eq!(
                call(service, target, &[("origin", origin.clone())]).await,
                StatusCode::FORBIDDEN,
                "{service} {origin}"
            );
        }
        assert_eq!(call(service, target, &[("sec-fetch-site", "same-origin".to_owned())]).await, StatusCode::FORBIDDEN);
    }
}

/// A presigned upload cannot be turned into a copy of something secret, nor get metadata or access of its own.
#[tokio::test]
async fn a_presigned_upload_is_no_other_request() {
    let up = Up::start();
    let s3 = up.s3().await;
    let secret = s3.put_object().bucket("time-traveler").key("strips/secret").body(b"secret".to_vec().into());
    secret.send().await.unwrap();
    let presigned: Value =
        up.http.post(format!("{}/uploads/ada?ages=30", up.api)).send().await.unwrap().json().await.unwrap();
    let put = || {
        let mut put = up.http.put(presigned["url"].as_str().unwrap());
        for (name, value) in presigned["headers"].as_object().unwrap() {
            put = put.header(name, value.as_str().unwrap());
        }
        put
    };
    for (name, value) in [
        ("x-amz-copy-source", "/time-traveler/strips/secret"),
        ("x-amz-acl", "public-read"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-meta-more", "x"),
        ("x-amz-website-redirect-location", "https://evil.example"),
    ] {
        let answer = put().header(name, value).body(Vec::new()).send().await.unwrap();
        let (status, words) = (answer.status(), answer.text().await.unwrap());
        assert!(
            status == StatusCode::FORBIDDEN && words.contains("not signed") && words.contains(name),
            "{status} {words}"
        );
    }
    let stored = s3.list_objects_v2().bucket("portraits").send().await.unwrap();
    assert_eq!(stored.key_count(), Some(0));
    assert_eq!(put().body(picture(1)).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(up.settled("ada").await["ages"], json!([30]));
}

/// With its length and its type signed, a presigned upload takes no other body.
#[tokio::test]
async fn a_presigned_upload_takes_what_it_was_made_for() {
    let up = Up::start();
    let photo = picture(1);
    let made = async |query: String| up.http.post(format!("{}/uploads/ada?{query}", up.api)).send().await.unwrap();
    let presigned: Value = made(format!("ages=30&length={}&type=image/png", photo.len())).await.json().await.unwrap();
    assert_eq!(presigned["headers"], json!({"x-amz-meta-ages": "30", "content-type": "image/png"}));
    let put = async |body: Vec<u8>, media_type: &str| {
        let put = up.http.put(presigned["url"].as_str().unwrap()).header("x-amz-meta-ages", "30");
        put.header("content-type", media_type).body(body).send().await.unwrap().status()
    };
    assert_eq!(put([photo.clone(), vec![0]].concat(), "image/png").await, StatusCode::FORBIDDEN, "a longer body");
    assert_eq!(put(photo[1..].to_vec(), "image/png").await, StatusCode::FORBIDDEN, "a shorter body");
    assert_eq!(put(photo.clone(), "text/html").await, StatusCode::FORBIDDEN, "another type");
    assert_eq!(put(photo, "image/png").await, StatusCode::OK);
    assert_eq!(up.settled("ada").await["status"], "SUCCESS");
    for bad in ["length=0", "length=52428801", "length=x", "type=png", "type=a/%0d%0ab:c"] {
        assert_eq!(made(bad.to_owned()).await.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
}

/// As on AWS, where the operator pays: no presigned upload without a length, and what is too large by another way does not stay.
#[tokio::test]
async fn nobody_stores_more_than_a_photograph() {
    let data = tempfile::tempdir().unwrap();
    let up = Up::start_in(data.path(), "UPLOAD_LENGTH", "required");
    let made = async |query: &str| up.http.post(format!("{}/uploads/ada?{query}", up.api)).send().await.unwrap();
    let refused = made("ages=30").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("POST /uploads/ada?length=BYTES would work"));
    assert_eq!(made("ages=30&length=1").await.status(), StatusCode::OK);

    let s3 = up.s3().await;
    let large = vec![0; usize::try_from(pipeline::MAX_UPLOAD_BYTES).unwrap() + 1];
    s3.put_object().bucket("portraits").key("uploads/large").body(large.into()).send().await.unwrap();
    assert_eq!(up.settled("large").await["error"]["code"], "IMAGE_TOO_LARGE");
    // The upload goes after the job's end is written.
    while s3.head_object().bucket("portraits").key("uploads/large").send().await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A link on another site opens the page. It gets nothing else, and shows the page in no frame.
#[tokio::test]
async fn another_site_can_link_to_the_page_and_no_more() {
    let up = Up::start();
    let from_elsewhere = async |path: &str, mode: &'static str, dest: &'static str| {
        let request = up.http.get(format!("{}{path}", up.api)).header("sec-fetch-site", "cross-site");
        let request = request.header("sec-fetch-mode", mode).header("sec-fetch-dest", dest);
        request.send().await.unwrap()
    };
    let page = from_elsewhere("/", "navigate", "document").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(header(&page, "content-security-policy").contains("frame-ancestors 'none'"));
    for (path, mode, dest) in [
        ("/", "navigate", "iframe"),
        ("/", "no-cors", "image"),
        ("/jobs", "navigate", "document"),
        ("/images/ada/0123456789ab/0.jpg", "navigate", "document"),
    ] {
        assert_eq!(from_elsewhere(path, mode, dest).await.status(), StatusCode::FORBIDDEN, "{path} {mode} {dest}");
    }
}

/// What a client says of a model reaches no loader of this machine.
#[tokio::test]
async fn a_client_loads_no_library() {
    let up = Up::start();
    let create = async |environment: Value| {
        let scope = "AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/sagemaker/aws4_request, Signature=0";
        let container = json!({"Image": "time-traveler", "Environment": environment});
        let model = json!({"ModelName": "m", "PrimaryContainer": container});
        let request = up.http.post(&up.aws).header("authorization", scope);
        let answer =
            request.header("x-amz-target", "SageMaker.CreateModel").body(model.to_string()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let many: serde_json::Map<String, Value> = (0..101).map(|n| (format!("A{n}"), json!("1"))).collect();
    for environment in [
        json!({"LD_PRELOAD": "/proc/self/fd/9"}),
        json!({"LD_AUDIT": "x"}),
        json!({"GLIBC_TUNABLES": "x"}),
        json!({"MALLOC_CONF": "prof:true,prof_prefix:/tmp/x"}),
        json!({"": "x"}),
        json!({"A=B": "x"}),
        json!({"A\nB": "x"}),
        json!({"1A": "x"}),
        json!({"A": "x".repeat(1025)}),
        Value::Object(many),
    ] {
        let (status, words) = create(environment.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{environment}: {words}");
    }
}
