//! S3 over plain HTTP, as its clients send it.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use local_cloud::{Cloud, Conditions, Listeners, Stack};
use md5::{Digest, Md5};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::net::TcpListener;

struct Tested {
    cloud: Cloud,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

impl Tested {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(folder: tempfile::TempDir) -> Self {
        let stack = Stack { buckets: vec!["bucket".into(), "other".into()], ..Stack::default() };
        let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let listeners = Listeners { aws: bind().await, api: bind().await };
        let cloud = Cloud::start(&stack, &folder.path().join("data"), listeners, Conditions::default()).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { cloud, http, folder }
    }

    fn unsigned(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.cloud.aws_address()))
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let scope = "AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/s3/aws4_request, Signature=0";
        self.unsigned(method, path).header("authorization", scope)
    }

    /// A request with a key of the client: 32 times a byte.
    fn sealed(&self, method: &str, path: &str, byte: u8) -> RequestBuilder {
        self.request(method, path).headers(customer_key("", byte))
    }

    async fn put(&self, path: &str, body: &'static str) {
        let answer = self.request("PUT", path).body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    }
}

/// The three headers of a key of the client, with `x-amz-` and a prefix.
fn customer_key(prefix: &str, byte: u8) -> HeaderMap {
    let values = [
        ("algorithm", "AES256".to_owned()),
        ("key", STANDARD.encode([byte; 32])),
        ("key-md5", STANDARD.encode(Md5::digest([byte; 32]))),
    ];
    let name =
        |name: &str| format!("x-amz-{prefix}server-side-encryption-customer-{name}").parse::<HeaderName>().unwrap();
    values.into_iter().map(|(suffix, value)| (name(suffix), value.parse().unwrap())).collect()
}

async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let code = text.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next()).unwrap_or(&text);
    (status, code.to_owned())
}

/// Headers that S3 takes and the local cloud does not, for the operations that have them.
const REFUSED: [(&str, &str); 9] = [
    ("x-amz-acl", "public-read"),
    ("x-amz-grant-full-control", "id=1"),
    ("x-amz-grant-read", "id=1"),
    ("x-amz-grant-read-acp", "id=1"),
    ("x-amz-grant-write-acp", "id=1"),
    ("x-amz-object-lock-legal-hold", "ON"),
    ("x-amz-object-lock-mode", "GOVERNANCE"),
    ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
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
            let mut request = tested.request(method, path).header(name, value).header("content-length", "0");
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

#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_a_key_of_the_client_is_read_with_that_key_alone() {
    let tested = Tested::start().await;
    let body: String = (0..40_000).map(|n| format!("line {n}\n")).collect();
    let put = tested.sealed("PUT", "/bucket/k", 1).body(body.clone()).send().await.unwrap();
    assert_eq!(put.headers()["x-amz-server-side-encryption-customer-algorithm"], "AES256");
    assert_eq!(put.headers()["x-amz-server-side-encryption-customer-key-md5"], "4Funlf7OsLF0HL+vKU+fkg==");
    let md5: String = Md5::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_ne!(put.headers()["etag"], format!("\"{md5}\""));
    tested.put("/bucket/plain", "hello").await;

    let get = |byte: u8| tested.sealed("GET", "/bucket/k", byte);
    assert_eq!(code(get(2).send().await.unwrap()).await, (403, "AccessDenied".to_owned()));
    let without = tested.request("GET", "/bucket/k").send().await.unwrap();
    assert_eq!(code(without).await, (400, "InvalidRequest".to_owned()));
    let needless = tested.sealed("GET", "/bucket/plain", 1).send().await.unwrap();
    assert_eq!(code(needless).await, (400, "InvalidRequest".to_owned()));
    assert_eq!(tested.request("HEAD", "/bucket/k").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let head = tested.sealed("HEAD", "/bucket/k", 1).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], body.len().to_string());
    for range in [0..1, 65_535..65_537, 100_000..300_000] {
        let part = get(1).header("range", format!("bytes={}-{}", range.start, range.end - 1)).send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert!(part.text().await.unwrap() == body[range.clone()], "{range:?}");
    }

    // A copy needs the key of its source, and has its own.
    let copy = |path: &str, byte: u8| {
        let request = tested.request("PUT", path).header("x-amz-copy-source", "bucket/k");
        request.headers(customer_key("copy-source-", byte))
    };
    assert_eq!(code(copy("/other/k", 2).send().await.unwrap()).await.0, 403);
    let copied = copy("/other/k", 1).headers(customer_key("", 2)).send().await.unwrap();
    assert!(copied.status().is_success(), "{}", copied.text().await.unwrap());
    assert!(tested.sealed("GET", "/other/k", 2).send().await.unwrap().text().await.unwrap() == body);
    assert!(copy("/other/plain", 1).send().await.unwrap().status().is_success());
    assert!(tested.request("GET", "/other/plain").send().await.unwrap().text().await.unwrap() == body);
    tested.cloud.stop().await;
}

/// All bytes below a folder.
fn bytes_below(folder: &std::path::Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(bytes_below(&path));
        } else {
            all.extend(std::fs::read(path).unwrap());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_has_neither_the_key_of_a_client_nor_what_it_encrypts() {
    let tested = Tested::start().await;
    let secret = "a secret of a client ".repeat(20_000);
    let upload = tested.sealed("POST", "/bucket/parts?uploads", 7).send().await.unwrap().text().await.unwrap();
    let id = upload.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    let part = |byte: u8| {
        let path = format!("/bucket/parts?partNumber=1&uploadId={id}");
        let request = if byte == 0 { tested.request("PUT", &path) } else { tested.sealed("PUT", &path, byte) };
        request.body(secret.clone())
    };
    for bad in [0, 8] {
        assert_eq!(code(part(bad).send().await.unwrap()).await, (400, "InvalidRequest".to_owned()));
    }
    let etag = part(7).send().await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    assert!(tested.sealed("PUT", "/bucket/k", 7).body(secret.clone()).send().await.unwrap().status().is_success());
    assert!(
        tested
            .sealed("PUT", "/bucket/empty", 7)
            .header("content-length", "0")
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );

    // Neither before nor after a restart, which compares the sizes of files with the journal.
    tested.cloud.stop().await;
    let tested = Tested::start_in(tested.folder).await;
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let path = format!("/bucket/parts?uploadId={id}");
    let without = tested.request("POST", &path).body(document.clone()).send().await.unwrap();
    assert_eq!(code(without).await, (400, "InvalidRequest".to_owned()));
    let completed = tested.sealed("POST", &path, 7).body(document).send().await.unwrap();
    assert!(completed.status().is_success(), "{}", completed.text().await.unwrap());
    for (key, expected) in [("k", &*secret), ("parts", &*secret), ("empty", "")] {
        let read = tested.sealed("GET", &format!("/bucket/{key}"), 7).send().await.unwrap();
        assert!(read.text().await.unwrap() == expected, "{key}");
        let other = tested.sealed("GET", &format!("/bucket/{key}"), 8).send().await.unwrap();
        assert_eq!(other.status(), StatusCode::FORBIDDEN, "{key}");
    }
    tested.cloud.stop().await;
    let disk = bytes_below(tested.folder.path());
    assert!(disk.len() > 2 * secret.len());
    for forbidden in [b"a secret of a client".to_vec(), vec![7; 32], STANDARD.encode([7; 32]).into_bytes()] {
        assert!(
            !disk.windows(forbidden.len()).any(|bytes| bytes == forbidden),
            "{}",
            String::from_utf8_lossy(&forbidden)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_an_object_has_a_length() {
    let tested = Tested::start().await;
    let chunked = || {
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>("5\r\nhello\r\n0\r\n\r\n")]);
        tested.request("PUT", "/bucket/k").body(reqwest::Body::wrap_stream(chunks))
    };
    assert_eq!(code(chunked().send().await.unwrap()).await, (501, "NotImplemented".to_owned()));
    let streaming = || chunked().header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_eq!(code(streaming().send().await.unwrap()).await, (411, "MissingContentLength".to_owned()));
    let whole = streaming().header("x-amz-decoded-content-length", "5").send().await.unwrap();
    assert!(whole.status().is_success(), "{}", whole.text().await.unwrap());
    assert_eq!(tested.request("GET", "/bucket/k").send().await.unwrap().text().await.unwrap(), "hello");
    tested.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_says_holds_or_is_an_error() {
    let tested = Tested::start().await;
    let answer = async |request: RequestBuilder| code(request.send().await.unwrap()).await;
    let error = |status: u16, code: &str| (status, code.to_owned());

    // Parts: as they were sent, in order, large enough, and with the checksum of the whole object.
    let upload = tested.request("POST", "/bucket/parts?uploads").send().await.unwrap().text().await.unwrap();
    let id = upload.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    let part =
        |number: u8| tested.request("PUT", &format!("/bucket/parts?partNumber={number}&uploadId={id}")).body("hello");
    let damaged = part(1).header("content-md5", "XUFAKrxLKna5cZ2REBfFkQ==");
    assert_eq!(answer(damaged).await, error(400, "BadDigest"));
    let etag = part(1).send().await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    assert!(part(2).send().await.unwrap().status().is_success());
    let complete = |numbers: &[u8]| {
        let named = |number: &u8| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        let parts: String = numbers.iter().map(named).collect();
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        tested.request("POST", &format!("/bucket/parts?uploadId={id}")).body(document)
    };
    assert_eq!(answer(complete(&[2, 1])).await, error(400, "InvalidPartOrder"));
    assert_eq!(answer(complete(&[1, 2])).await, error(400, "EntityTooSmall"));
    let other = complete(&[1]).header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=");
    assert_eq!(answer(other).await, error(400, "BadDigest"));
    assert!(complete(&[1]).send().await.unwrap().status().is_success());
    let beyond = tested.request("GET", "/bucket/parts?partNumber=2");
    assert_eq!(answer(beyond).await, error(416, "InvalidPartNumber"));

    // Dates, copies, deletions, metadata and storage classes.
    let get = |name: &str, date: &str| tested.request("GET", "/bucket/parts").header(name.to_owned(), date.to_owned());
    let future = get("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT").send().await.unwrap();
    assert_eq!(future.status(), StatusCode::NOT_MODIFIED);
    let past = get("if-unmodified-since", "Mon, 01 Jan 2001 00:00:00 GMT");
    assert_eq!(answer(past).await, error(412, "PreconditionFailed"));
    let itself = tested.request("PUT", "/bucket/parts").header("x-amz-copy-source", "bucket/parts");
    assert_eq!(answer(itself).await, error(400, "InvalidRequest"));
    let keys: String = (0..1001).map(|n| format!("<Object><Key>{n}</Key></Object>")).collect();
    let delete = tested.request("POST", "/bucket?delete").body(format!("<Delete>{keys}</Delete>"));
    assert_eq!(answer(delete).await, error(400, "MalformedXML"));
    let put = || tested.request("PUT", "/bucket/k").body("x");
    assert_eq!(answer(put().header("x-amz-meta-a", "v".repeat(3000))).await, error(400, "MetadataTooLarge"));
    assert!(put().header("x-amz-storage-class", "STANDARD_IA").send().await.unwrap().status().is_success());
    let head = tested.request("HEAD", "/bucket/k").send().await.unwrap();
    assert_eq!(head.headers()["x-amz-storage-class"], "STANDARD_IA");

    // Headers that the protocol's library does not know.
    assert_eq!(answer(put().header("x-amz-checksum-xxhash3", "AAAAAAAAAAA=")).await, error(501, "NotImplemented"));
    let reading = tested.request("HEAD", "/bucket/k").header("x-amz-server-side-encryption", "AES256");
    assert_eq!(reading.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let missing = tested.request("GET", "/bucket/none").send().await.unwrap();
    let id = missing.headers()["x-amz-request-id"].to_str().unwrap().to_owned();
    assert!(missing.text().await.unwrap().contains(&format!("<RequestId>{id}</RequestId></Error>")));
    tested.cloud.stop().await;
}
