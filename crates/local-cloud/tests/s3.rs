//! S3 over plain HTTP, as its clients send it.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_cloud::{Cloud, Conditions, Listeners, Stack};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::net::TcpListener;

struct Tested {
    cloud: Cloud,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Tested {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stack = Stack { buckets: vec!["bucket".into(), "other".into()], ..Stack::default() };
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let cloud = Cloud::start(&stack, &folder.path().join("data"), listeners, Conditions::default()).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { cloud, http, _folder: folder }
    }

    fn unsigned(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.cloud.aws_address()))
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let scope = "AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/s3/aws4_request, Signature=0";
        self.unsigned(method, path).header("authorization", scope)
    }

    async fn put(&self, path: &str, body: &'static str) {
        let answer = self.request("PUT", path).body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    }
}

async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next()).unwrap_or(&text);
    (status, code.to_owned())
}

/// Headers that S3 takes and the local cloud does not, for the operations that have them.
const REFUSED: [(&str, &str); 11] = [
    ("x-amz-acl", "public-read"),
    ("x-amz-grant-full-control", "id=1"),
    ("x-amz-grant-read", "id=1"),
    ("x-amz-grant-read-acp", "id=1"),
    ("x-amz-grant-write-acp", "id=1"),
    ("x-amz-object-lock-legal-hold", "ON"),
    ("x-amz-object-lock-mode", "GOVERNANCE"),
    ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ("x-amz-server-side-encryption-customer-key", "AAAA"),
    ("x-amz-storage-class", "DEEP_ARCHIVE"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_implemented_is_refused_by_its_name() {
    let tested = Tested::start().await;
    tested.put("/bucket/source", "hello").await;
    let copy = ("x-amz-copy-source", "bucket/source");
    for (method, path, own) in
        [("PUT", "/bucket/k", None), ("POST", "/bucket/k?uploads", None), ("PUT", "/bucket/k", Some(copy))]
    {
        for (name, value) in REFUSED {
            let mut request = tested.request(method, path).header(name, value);
            if let Some((name, value)) = own {
                request = request.header(name, value);
            }
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{method} {path} {name}: {text}");
            assert!(text.contains(name), "{text}");
        }
    }
    for query in ["versioning", "acl", "policy", "publicAccessBlock", "replication", "website"] {
        let answer = tested.request("PUT", &format!("/bucket?{query}")).body("<X/>").send().await.unwrap();
        assert!(!answer.status().is_success(), "{query}");
    }
    assert_eq!(tested.request("GET", "/bucket/k").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_compared_in_headers_trailers_and_documents() {
    let tested = Tested::start().await;
    let put = |path: &str| tested.request("PUT", path).body("hello");
    let good = put("/bucket/k").header("x-amz-checksum-crc32", "NhCmhg==").send().await.unwrap();
    assert_eq!(good.headers()["x-amz-checksum-crc32"], "NhCmhg==");
    let bad = put("/bucket/bad").header("x-amz-checksum-crc32", "NhCmhw==").send().await.unwrap();
    assert_eq!(code(bad).await, (400, "BadDigest".to_owned()));
    let chunked = |value: &str| {
        let request = tested.request("PUT", "/bucket/chunked").header("content-encoding", "aws-chunked");
        let request = request.header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let request =
            request.header("x-amz-trailer", "x-amz-checksum-crc32").header("x-amz-decoded-content-length", "5");
        request.body(format!("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{value}\r\n\r\n"))
    };
    assert_eq!(code(chunked("NhCmhw==").send().await.unwrap()).await, (400, "BadDigest".to_owned()));
    assert!(chunked("NhCmhg==").send().await.unwrap().status().is_success());
    let read = tested.request("GET", "/bucket/chunked").header("x-amz-checksum-mode", "ENABLED").send().await.unwrap();
    assert_eq!(read.headers()["x-amz-checksum-crc32"], "NhCmhg==");
    assert!(!read.headers().contains_key("content-encoding"));
    let document = "<Delete><Object><Key>k</Key></Object></Delete>";
    let delete = tested.request("POST", "/bucket?delete").header("content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(code(delete.body(document).send().await.unwrap()).await, (400, "BadDigest".to_owned()));
    let kept = tested.request("HEAD", "/bucket/k").send().await.unwrap();
    assert_eq!(
        (kept.status(), &kept.headers()["content-type"]),
        (StatusCode::OK, &"binary/octet-stream".parse().unwrap())
    );
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_control_characters_are_listed() {
    let tested = Tested::start().await;
    tested.put("/bucket/a%01%0Db%20c", "x").await;
    let list = async |query: &str| {
        tested.request("GET", &format!("/bucket?{query}")).send().await.unwrap().text().await.unwrap()
    };
    for query in ["list-type=2&encoding-type=url", "encoding-type=url", "versions&encoding-type=url"] {
        let listed = list(query).await;
        assert!(
            listed.contains("<Key>a%01%0Db%20c</Key>") && listed.contains("<EncodingType>url</EncodingType>"),
            "{listed}"
        );
    }
    assert!(list("list-type=2").await.contains("<Key>a&#x1;&#xd;b c</Key>"));
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_s3_passes_over_are_passed_over() {
    let tested = Tested::start().await;
    let put = tested.request("PUT", "/bucket/k").header("expires", "never").body("hello");
    assert!(put.send().await.unwrap().status().is_success());
    for range in ["bytes=0-1,3-4", "bytes=4-1", "lines=1-2"] {
        let whole = tested.request("GET", "/bucket/k").header("range", range).send().await.unwrap();
        assert_eq!(
            (whole.status(), &whole.headers()["expires"]),
            (StatusCode::OK, &"never".parse().unwrap()),
            "{range}"
        );
        assert_eq!(whole.text().await.unwrap(), "hello");
    }
    let beyond = tested.request("GET", "/bucket/k").header("range", "bytes=9-").send().await.unwrap();
    let text = beyond.text().await.unwrap();
    assert!(text.contains("<Code>InvalidRange</Code>") && text.contains("<Message>"), "{text}");
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_taken_as_its_policy_says() {
    let tested = Tested::start().await;
    let policy = serde_json::json!({
        "expiration": "2100-01-01T00:00:00Z",
        "conditions": [{"bucket": "bucket"}, ["starts-with", "$key", "user/"], ["content-length-range", 2, 5]],
    });
    let policy = STANDARD.encode(policy.to_string());
    let send = async |key: &str, file: &str| {
        let fields = [("key", key), ("AWSAccessKeyId", "A"), ("signature", "x"), ("policy", &policy)];
        let mut body = String::new();
        for (name, value) in fields {
            body += &format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += &format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"\r\n\r\n{file}\r\n--b--\r\n"
        );
        let request = tested.unsigned("POST", "/bucket").header("content-type", "multipart/form-data; boundary=b");
        request.body(body).send().await.unwrap()
    };
    let sent = send("user/${filename}", "hello").await;
    assert_eq!(sent.status(), StatusCode::NO_CONTENT, "{}", sent.text().await.unwrap());
    let read = tested.request("GET", "/bucket/user/f.txt").send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "hello");
    assert_eq!(code(send("other/x", "hello").await).await, (403, "AccessDenied".to_owned()));
    assert_eq!(code(send("user/x", "hello!").await).await, (400, "EntityTooLarge".to_owned()));
    assert_eq!(code(send("user/x", "h").await).await, (400, "EntityTooSmall".to_owned()));
    assert_eq!(tested.request("GET", "/bucket/user/x").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_answered_by_the_buckets_rules() {
    let tested = Tested::start().await;
    let preflight = |origin: &str| {
        let request = tested.unsigned("OPTIONS", "/bucket/k").header("origin", origin.to_owned());
        request.header("access-control-request-method", "PUT")
    };
    assert_eq!(preflight("http://localhost:5000").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let rules = "<CORSConfiguration><CORSRule><AllowedOrigin>http://localhost:5000</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule></CORSConfiguration>";
    let set = tested.request("PUT", "/bucket?cors").body(rules).send().await.unwrap();
    assert_eq!(set.status(), StatusCode::OK, "{}", set.text().await.unwrap());
    let allowed = preflight("http://localhost:5000").send().await.unwrap();
    assert_eq!(
        (allowed.status(), &allowed.headers()["access-control-allow-origin"]),
        (StatusCode::OK, &"http://localhost:5000".parse().unwrap())
    );
    assert_eq!(preflight("http://localhost:6000").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let put =
        tested.request("PUT", "/bucket/k").header("origin", "http://localhost:5000").body("x").send().await.unwrap();
    assert_eq!(put.headers()["access-control-allow-origin"], "http://localhost:5000");
    tested.cloud.stop().await;
}
