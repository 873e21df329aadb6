//! Every kind of bad input gets a clear answer, and harms nothing else.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Up, encoded, picture, portrait};

/// The code and the message of an answer.
async fn refusal(answer: reqwest::Response) -> (StatusCode, String, String) {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("message"))
}

#[tokio::test]
async fn invalid_uploads_are_refused_before_anything_is_stored() {
    let up = Up::start();
    let photo = picture(1);
    let cases = [
        ("/images/a?ages=abc", 400, "INVALID_AGES", "abc"),
        ("/images/a?ages=", 400, "INVALID_AGES", "no ages"),
        ("/images/a?ages=900", 400, "INVALID_AGES", "900"),
        ("/images/a?ages=-1", 400, "INVALID_AGES", "-1"),
        (&format!("/images/a?ages={}", ["1"; 50].join(",")), 400, "INVALID_AGES", "50 ages"),
        ("/images/a/b", 400, "INVALID_ID", "a/b"),
        ("/images/a%2Fb", 400, "INVALID_ID", "a/b"),
        ("/images/..%2f..%2fetc", 400, "INVALID_ID", "../../etc"),
        ("/images/a%20b", 400, "INVALID_ID", "a b"),
        (&format!("/images/{}", "x".repeat(300)), 400, "INVALID_ID", "xxx"),
    ];
    for (path, status, code, word) in cases {
        let (found, found_code, message) = refusal(up.put(path, photo.clone()).await).await;
        assert_eq!((found.as_u16(), found_code.as_str()), (status, code), "{path}: {message}");
        assert!(message.contains(word), "{path}: {message}");
    }
    // A raw request line is sent, since HTTP clients resolve `..` themselves.
    let raw = up.raw("PUT /images/.. HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(raw.starts_with("HTTP/1.1 400") && raw.contains("INVALID_ID"), "{raw}");
    let typed = up.http.put(format!("{}/images/a", up.api)).header("content-type", "text/plain").body("hi");
    let (status, code, message) = refusal(typed.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_IMAGE"));
    assert!(message.contains("text/plain") && message.contains("image/jpeg"));
    let typed = up.http.put(format!("{}/images/a", up.api)).header("content-type", "image/heic").body("hi");
    let (status, code, message) = refusal(typed.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_IMAGE"));
    assert!(message.contains("HEIC") && message.contains("Most Compatible"), "{message}");

    let (status, code, message) = refusal(up.put("/images/a", vec![0; 60 << 20]).await).await;
    assert_eq!((status, code.as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "IMAGE_TOO_LARGE"));
    assert!(message.contains("10 MB"), "{message}");
    assert_eq!(up.json("/jobs").await["jobs"], json!([]));
    assert_eq!(up.send("a", photo).await["status"], "SUCCESS", "later uploads fail");
}

#[tokio::test]
async fn usual_names_of_the_media_types_are_taken() {
    let up = Up::start();
    let jpeg = encoded(&portrait(), image::ImageFormat::Jpeg);
    let types = ["image/jpg", "IMAGE/JPG; q=1", "image/pjpeg", "image/x-png", "application/octet-stream", ""];
    for (n, media_type) in types.into_iter().enumerate() {
        let id = format!("named-{n}");
        let put = up.http.put(format!("{}/images/{id}?ages=30", up.api)).header("content-type", media_type);
        let answer = put.body(jpeg.clone()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{media_type}: {}", answer.text().await.unwrap());
        assert_eq!(up.settled(&id).await["status"], "SUCCESS", "{media_type}");
    }
}

#[tokio::test]
async fn unusable_pictures_become_failed_jobs() {
    let up = Up::start();
    let jpeg = encoded(&portrait(), image::ImageFormat::Jpeg);
    let one_pixel = encoded(&image::RgbImage::new(1, 1), image::ImageFormat::Png);
    let wall = encoded(&image::RgbImage::from_pixel(640, 480, image::Rgb([200; 3])), image::ImageFormat::Png);
    let stamp = image::imageops::resize(&portrait(), 220, 220, image::imageops::FilterType::CatmullRom);
    let stamp = encoded(&stamp, image::ImageFormat::Png);
    let cases = [
        ("heic", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic".to_vec(), "UNSUPPORTED_IMAGE", "HEIC"),
        ("text", b"hello, I am a text file".to_vec(), "UNSUPPORTED_IMAGE", "JPEG"),
        ("empty", Vec::new(), "CORRUPT_IMAGE", "empty"),
        ("truncated", jpeg[..jpeg.len() / 2].to_vec(), "CORRUPT_IMAGE", ""),
        ("pixel", one_pixel, "NO_FACE", "1 x 1"),
        ("wall", wall, "NO_FACE", "640 x 480 pixels"),
        ("stamp", stamp, "FACE_TOO_SMALL", "at least 48"),
        ("bomb", png_bomb(), "IMAGE_TOO_LARGE", "20000 x 20000"),
    ];
    for (id, body, code, word) in cases {
        let job = up.send(id, body).await;
        assert_eq!((&job["status"], &job["error"]["code"]), (&json!("FAILED"), &json!(code)), "{job}");
        let message = job["error"]["message"].as_str().unwrap();
        assert!(message.contains(word) && message.len() > 20, "{message}");
        assert_eq!((&job["images"], &job["ages"]), (&json!([]), &json!([20, 40, 60, 80])));
        let search = &job["error"]["search"];
        match id {
            "wall" => assert_eq!(
                (&search["width"], &search["height"], &search["face"]),
                (&json!(640), &json!(480), &json!(null))
            ),
            "stamp" => {
                let [least, face] = ["/least", "/face/width"].map(|at| search.pointer(at).unwrap().as_u64().unwrap());
                assert!(least == 48 && face < least, "{search}");
            }
            "pixel" => assert!(search.is_object(), "{job}"),
            _ => assert!(search.is_null(), "{job}"),
        }
    }
    // Uploads that bypass the REST API have unchecked ages and ids.
    let s3 = up.s3().await;
    let body = picture(1);
    let put = |key: &'static str| s3.put_object().bucket("portraits").key(key).body(body.clone().into());
    put("uploads/ages").metadata("ages", "old").send().await.unwrap();
    let job = up.settled("ages").await;
    assert_eq!((&job["error"]["code"], &job["ages"]), (&json!("INVALID_AGES"), &json!([])));
    put("uploads/a b").send().await.unwrap();
    put("uploads/good").send().await.unwrap();
    assert_eq!(up.settled("good").await["status"], "SUCCESS");
    let jobs = up.json("/jobs?limit=100").await;
    let ids: Vec<&str> = jobs["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect();
    assert!(!ids.contains(&"a b") && ids.len() == 10, "{ids:?}");
}

#[tokio::test]
async fn uploads_that_start_nothing_are_named_to_their_sender_or_on_the_terminal() {
    let up = Up::start();
    for (method, path) in
        [("PUT", "/images/my%20photo.jpg"), ("PUT", "/images/Jos%C3%A9.jpg"), ("POST", "/uploads/my%20photo.jpg")]
    {
        let request = up.http.request(method.parse().unwrap(), format!("{}{path}", up.api));
        let (status, code, message) = refusal(request.body(picture(1)).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), code.as_str()), (400, "INVALID_ID"), "{message}");
        assert!(message.contains("is not a portrait id: 1 to 48 letters"), "{message}");
    }
    // S3 takes any key.
    let s3 = up.s3().await;
    let keys = ["uploads/my photo.jpg", "uploads/José.jpg", "uploads/a/b.jpg", "uploads/\u{1b}[2Jx", "photo.jpg"];
    for key in keys {
        s3.put_object().bucket("portraits").key(key).body(picture(1).into()).send().await.unwrap();
    }
    s3.copy_object().copy_source("portraits/photo.jpg").bucket("portraits").key("uploads/-x").send().await.unwrap();
    up.wait_for_hops("starts no job", keys.len() + 1);
    let log = up.log();
    for named in [
        "\"my photo.jpg\" is not a portrait id",
        "\"José.jpg\"",
        "\"a/b.jpg\"",
        "\"-x\"",
        "\"photo.jpg\" is not below uploads/",
    ] {
        assert!(log.lines().any(|line| line.contains("starts no job") && line.contains(named)), "{named}: {log}");
    }
    assert!(!log.lines().any(|line| line.contains("starts no job") && line.contains('\u{1b}')), "{log}");
    assert_eq!(up.send("good", picture(1)).await["status"], "SUCCESS");
    assert_eq!(up.hops("starts no job"), keys.len() + 1);
}

/// A PNG whose header claims 20,000 x 20,000 pixels, without their data.
fn png_bomb() -> Vec<u8> {
    let mut png = encoded(&image::RgbImage::new(1, 1), image::ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let crc = png[12..29].iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    png
}

#[tokio::test]
async fn the_http_api_refuses_invalid_requests() {
    let up = Up::start();
    let (status, code, message) = refusal(up.get("/jobs/nobody").await).await;
    assert_eq!((status, code.as_str()), (StatusCode::NOT_FOUND, "NOT_FOUND"));
    assert!(message.contains("nobody"));
    for path in ["/jobs/a%20b", "/jobs/nobody?wait=soon", "/jobs?status=done", "/jobs?limit=0", "/jobs?cursor=%21"] {
        let (status, _, message) = refusal(up.get(path).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {message}");
        assert!(message.len() > 10, "{path}");
    }
    let upload = up.http.post(format!("{}/uploads/a?ages=900", up.api)).send().await.unwrap();
    assert_eq!(refusal(upload).await.1, "INVALID_AGES");
    let (status, _, message) = refusal(up.get("/nowhere").await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(message.contains("/nowhere"));
    let posted = up.http.post(format!("{}/images/a", up.api)).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(up.get("/images/a/000000000000/0.jpg").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_aws_endpoint_refuses_unsigned_foreign_and_unknown_requests() {
    let up = Up::start();
    let unsigned = up.http.get(format!("{}/portraits", up.aws)).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::FORBIDDEN);
    let foreign = up.http.get(&up.aws).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let foreign = up.http.get(format!("{}/jobs", up.api)).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let page = up.http.get(format!("{}/jobs", up.api)).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::FORBIDDEN);
    let scope = "AWS4-HMAC-SHA256 Credential=A/20261121/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0";
    let unknown = up.http.post(&up.aws).header("authorization", scope).send().await.unwrap();
    let (status, _, message) = refusal(unknown).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert!(message.contains("ec2"));
    let lambda = aws_sdk_lambda::Client::new(&up.sdk_config().await);
    let missing = lambda.invoke().function_name("nothing").send().await.unwrap_err().into_service_error();
    assert!(missing.is_resource_not_found_exception(), "{missing:?}");
    assert!(lambda.list_functions().send().await.is_err(), "an operation that does not exist succeeded");
    let rubbish = lambda.invoke().function_name("image-processor");
    let rubbish = rubbish.payload(aws_sdk_lambda::primitives::Blob::new(r#"{"hello":"world"}"#)).send().await.unwrap();
    assert_eq!(rubbish.function_error(), Some("Unhandled"));
    let payload = String::from_utf8_lossy(rubbish.payload().unwrap().as_ref()).into_owned();
    assert!(payload.contains("UnreadableEvent") && payload.contains("hello"), "{payload}");
}

#[tokio::test]
async fn pages_of_other_machines_are_refused() {
    let up = Up::start();
    let asked = async |method: &str, origin: Option<&str>, site: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = up.http.request(method, format!("{}/jobs", up.api)).header("sec-fetch-site", site);
        if let Some(origin) = origin {
            request = request.header("origin", origin).header("access-control-request-method", "PUT");
        }
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), header("access-control-allow-origin"), header("access-control-allow-methods"))
    };
    let local = "http://localhost:3000";
    let said = Some(local.to_owned());
    assert_eq!(asked("GET", Some(local), "cross-site").await, (200, said.clone(), None));
    assert_eq!(asked("OPTIONS", Some(local), "cross-site").await, (204, said, Some("GET,PUT,POST,DELETE".to_owned())));
    // An image element of a foreign page sends no origin, so `sec-fetch-site` decides.
    assert_eq!(asked("GET", None, "cross-site").await, (403, None, None));
    for method in ["GET", "OPTIONS"] {
        assert_eq!(asked(method, Some("https://evil.example"), "cross-site").await, (403, None, None));
        assert_eq!(asked(method, Some("https://localhost.evil.example"), "same-site").await, (403, None, None));
    }
    assert_eq!(asked("OPTIONS", None, "none").await.0, 405);
}
