//! The way of a portrait through the pipeline, from its upload to its pictures.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_s3::primitives::ByteStream;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Up, encoded, picture, portrait, sample};

#[tokio::test]
async fn an_upload_becomes_pictures() {
    let up = Up::start();
    let photo = std::fs::read(sample()).unwrap();
    let answer = up.put("/images/ada?ages=30,70", photo).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["etag"].len(), 34, "the ETag is not a quoted MD5");
    let job = up.settled("ada").await;
    assert_eq!(job["status"], "SUCCESS", "{job}");
    assert_eq!(job["ages"], json!([30, 70]));
    assert_eq!(job["model"], "preview");
    assert_eq!(job["error"], Value::Null);
    let images = job["images"].as_array().unwrap();
    let revision = job["revision"].as_str().unwrap();
    assert_eq!(images.len(), 3);
    assert_eq!(images[0], json!({"age": null, "path": format!("/images/ada/{revision}/0.jpg")}));
    assert_eq!(images[2]["age"], 70);
    let mut pictures = Vec::new();
    for image in images {
        let answer = up.get(image["path"].as_str().unwrap()).await;
        assert_eq!(answer.headers()["content-type"], "image/jpeg");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        let bytes = answer.bytes().await.unwrap();
        pictures.push(image::load_from_memory(&bytes).unwrap().to_rgb8());
    }
    assert!(pictures.iter().all(|picture| picture.dimensions() == (1024, 1024)));
    assert!(pictures[0] != pictures[1] && pictures[1] != pictures[2]);

    let strip = up.get(&format!("/images/ada/{revision}/strip.npy")).await;
    assert_eq!(strip.headers()["content-type"], "application/x-npy");
    let strip = strip.bytes().await.unwrap();
    assert!(strip.starts_with(b"\x93NUMPY\x01\x00"));
    let header = String::from_utf8_lossy(&strip[10..128]).into_owned();
    assert!(header.contains("'|u1'") && header.contains("(1024, 3072, 3)"), "{header}");

    let panel = format!("{}/images/ada/{revision}/1.jpg", up.api);
    let etag = up.http.head(&panel).send().await.unwrap().headers()["etag"].clone();
    let again = up.http.get(&panel).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::NOT_MODIFIED, &etag));
    assert!(again.headers().contains_key("cache-control") && !again.headers().contains_key("content-type"));
    let head = up.http.head(format!("{}/jobs/ada", up.api)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);

    let range = up.http.get(format!("{}/images/ada/{revision}/strip.npy", up.api)).header("range", "bytes=1-5");
    let range = range.send().await.unwrap();
    assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range.bytes().await.unwrap(), "NUMPY");
}

#[tokio::test]
async fn the_same_upload_is_invoked_once() {
    let up = Up::start();
    let first = up.send("ada", picture(1)).await;
    let second = up.send("ada", picture(1)).await;
    assert_eq!(first, second);
    let (a, b) = tokio::join!(up.put("/images/bob", picture(2)), up.put("/images/bob", picture(2)));
    assert!(a.status().is_success() && b.status().is_success());
    up.settled("bob").await;
    let other_ages = up.put("/images/ada?ages=50&ages=60", picture(1)).await;
    assert!(other_ages.status().is_success());
    until(&up, "ada", |job| job["ages"] == json!([50, 60]) && job["status"] == "SUCCESS").await;
    assert_eq!(up.hops("InvokeEndpointAsync"), 3);
}

async fn until(up: &Up, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let waited = async {
        loop {
            let job = up.json(&format!("/jobs/{id}")).await;
            if wanted(&job) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited)
        .await
        .unwrap_or_else(|_| panic!("the job {id} never reached the wanted state"))
}

#[tokio::test]
async fn ten_uploads_at_once_succeed() {
    let up = Up::start();
    let ids: Vec<String> = (0..10).map(|n| format!("portrait-{n}")).collect();
    let jobs = ids.iter().enumerate().map(|(n, id)| up.send(id, picture(u8::try_from(n).unwrap())));
    for job in join_all(jobs).await {
        assert_eq!(job["status"], "SUCCESS", "{job}");
    }
    assert_eq!(up.hops("InvokeEndpointAsync"), 10);

    // The list shows them newest first, page by page.
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = up.json(&format!("/jobs?limit=3&status=SUCCESS&cursor={cursor}")).await;
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["createdAt"].as_str().unwrap().to_owned()));
        match page["cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 10);
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    assert_eq!(up.json("/jobs?status=FAILED").await, json!({"jobs": [], "cursor": null}));
}

#[tokio::test]
async fn the_newest_upload_wins_for_any_order_of_events() {
    let up = Up::start();
    assert!(up.put("/images/ada", picture(1)).await.status().is_success());
    let second = up.put("/images/ada", picture(2)).await;
    let revision = pipeline::Revision::new(second.headers()["etag"].to_str().unwrap(), "20,40,60,80");
    let of_second = |job: &Value| job["status"] == "SUCCESS" && job["revision"] == revision.as_str();
    let newest = until(&up, "ada", of_second).await;

    // A repeat of the first upload's event and an older event change nothing.
    let lambda = aws_sdk_lambda::Client::new(&up.sdk_config().await);
    let s3 = up.s3().await;
    let head = s3.head_object().bucket("portraits").key("uploads/ada").send().await.unwrap();
    for (etag, sequencer) in [(head.e_tag().unwrap(), "000000000000000001"), ("d41d8cd98f00b204e9800998ecf8427e", "FF")]
    {
        let event = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {
            "bucket": {"name": "portraits"},
            "object": {"key": "uploads/ada", "size": 9, "etag": etag.trim_matches('"'), "sequencer": sequencer}}});
        let payload = Blob::new(event.to_string());
        let answer = lambda.invoke().function_name("image-processor").payload(payload).send().await.unwrap();
        assert_eq!(answer.function_error(), None);
    }
    assert_eq!(up.json("/jobs/ada").await, newest);
}

#[tokio::test]
async fn large_pictures_are_uploaded_with_a_presigned_url() {
    let up = Up::start();
    // Noise does not compress, so the PNG has 12 MB.
    let mut state = 1_u32;
    let mut photo = image::RgbImage::from_fn(2000, 2000, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, r, g, b] = state.to_be_bytes();
        image::Rgb([r, g, b])
    });
    image::imageops::replace(&mut photo, &portrait(), 700, 600);
    let photo = encoded(&photo, image::ImageFormat::Png);
    assert!(photo.len() > 10 << 20);
    let refused = up.put("/images/big", photo.clone()).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let signed = up.http.post(format!("{}/uploads/big?ages=60", up.api)).send().await.unwrap();
    let signed: Value = signed.json().await.unwrap();
    assert_eq!(signed["headers"], json!({"x-amz-meta-ages": "60"}));
    let url = signed["url"].as_str().unwrap();
    let without_ages = up.http.put(url).body("x").send().await.unwrap();
    assert_eq!(without_ages.status(), StatusCode::FORBIDDEN, "a signed header was left out");
    let other_key = up.http.put(url.replace("uploads/big", "uploads/other")).header("x-amz-meta-ages", "60");
    assert_eq!(other_key.body("x").send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let put = up.http.put(url).header("x-amz-meta-ages", "60").body(photo).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK, "{}", put.text().await.unwrap());
    let job = up.settled("big").await;
    assert_eq!((job["status"].as_str(), &job["ages"]), (Some("SUCCESS"), &json!([60])));
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_a_finished_one_deleted() {
    let up = Up::start();
    let finished = up.send("ada", picture(1)).await;
    let deleted = up.http.delete(format!("{}/jobs/ada", up.api)).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(up.get("/jobs/ada").await.status(), StatusCode::NOT_FOUND);
    let path = finished["images"][1]["path"].as_str().unwrap();
    assert_eq!(up.get(path).await.status(), StatusCode::NOT_FOUND);
    let s3 = up.s3().await;
    for bucket in ["portraits", "time-traveler"] {
        assert_eq!(s3.list_objects_v2().bucket(bucket).send().await.unwrap().key_count(), Some(0), "{bucket}");
    }

    // A running job is cancelled, and its late result changes nothing. Sixteen ages keep the model busy for a while.
    let slow = format!("/images/bob?ages={}", ["70"; 16].join(","));
    assert!(up.put(&slow, std::fs::read(sample()).unwrap()).await.status().is_success());
    up.wait_for_hops("InvokeEndpointAsync", 2);
    until(&up, "bob", |job| job["status"] == "PROCESSING" || job["status"] == "PENDING").await;
    let cancelled = up.http.delete(format!("{}/jobs/bob", up.api)).send().await.unwrap();
    assert_eq!(cancelled.json::<Value>().await.unwrap()["status"], "CANCELLED");
    up.wait_for_hops("face-aging-success -> image-processor", 2);
    let emptied = async {
        while s3.list_objects_v2().bucket("time-traveler").send().await.unwrap().key_count() != Some(0) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.expect("the late strip was left behind");
    assert_eq!(up.json("/jobs/bob").await["status"], "CANCELLED");

    // The same photograph starts it again.
    assert!(up.put(&slow, std::fs::read(sample()).unwrap()).await.status().is_success());
    until(&up, "bob", |job| job["status"] == "SUCCESS").await;
    // Pictures whose record has expired can still be deleted.
    let dynamodb = aws_sdk_dynamodb::Client::new(&up.sdk_config().await);
    dynamodb.delete_item().table_name("jobs").key("id", AttributeValue::S("bob".into())).send().await.unwrap();
    let deleted = up.http.delete(format!("{}/jobs/bob", up.api)).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(s3.list_objects_v2().bucket("time-traveler").send().await.unwrap().key_count(), Some(0));
    let missing = up.http.delete(format!("{}/jobs/nobody", up.api)).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let metrics = up.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("\nlocal_cloud_disk_full 0\n"), "{metrics}");
}

#[tokio::test]
async fn sdk_clients_work_with_any_credentials() {
    let up = Up::start();
    let config = up.sdk_config().await;
    let s3 = aws_sdk_s3::Client::new(&config);
    let photo = picture(7);
    let body = ByteStream::from(photo.clone());
    s3.put_object().bucket("portraits").key("uploads/sdk").metadata("ages", "33").body(body).send().await.unwrap();
    let job = up.settled("sdk").await;
    assert_eq!((&job["status"], &job["ages"]), (&json!("SUCCESS"), &json!([33])));

    let stored = s3.get_object().bucket("portraits").key("uploads/sdk").send().await.unwrap();
    assert_eq!(stored.metadata().unwrap()["ages"], "33");
    assert_eq!(stored.body.collect().await.unwrap().into_bytes(), photo);

    let damaged = s3.put_object().bucket("portraits").key("uploads/sdk").checksum_crc32("AAAAAA==");
    let damaged = damaged.body(ByteStream::from_static(b"not what was hashed")).send().await.unwrap_err();
    assert_eq!(damaged.code(), Some("BadDigest"), "{damaged:?}");
    let kept = s3.head_object().bucket("portraits").key("uploads/sdk").send().await.unwrap();
    assert_eq!(kept.content_length(), Some(photo.len().try_into().unwrap()), "a damaged body replaced the photograph");

    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let item = dynamodb.get_item().table_name("jobs").key("id", AttributeValue::S("sdk".into())).send().await.unwrap();
    assert_eq!(item.item().unwrap()["status"].as_s().unwrap(), "SUCCESS");

    let runtime = aws_sdk_sagemakerruntime::Client::new(&config);
    let answer = runtime
        .invoke_endpoint()
        .endpoint_name("face-aging")
        .content_type("image/png")
        .custom_attributes("ages=60")
        .body(aws_sdk_sagemakerruntime::primitives::Blob::new(photo.clone()))
        .send()
        .await
        .unwrap();
    // SageMaker's SDK compares the type for equality, so the engine's name travels in another header.
    assert_eq!(answer.content_type(), Some("application/x-npy"));
    assert_eq!(answer.custom_attributes(), Some("engine=preview"));
    assert!(answer.body().unwrap().as_ref().starts_with(b"\x93NUMPY"));

    let queued = runtime
        .invoke_endpoint_async()
        .endpoint_name("face-aging")
        .content_type("image/png")
        .inference_id("direct")
        .body(aws_sdk_sagemakerruntime::primitives::Blob::new(photo))
        .send()
        .await
        .unwrap();
    let key = queued.output_location().unwrap().strip_prefix("s3://time-traveler/").unwrap().to_owned();
    let written = async {
        while s3.head_object().bucket("time-traveler").key(&key).send().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("no output of a direct invocation");

    let failed = runtime.invoke_endpoint().endpoint_name("face-aging").content_type("image/png");
    let failed = failed.body(aws_sdk_sagemakerruntime::primitives::Blob::new("rubbish")).send().await.unwrap_err();
    let failed = failed.into_service_error();
    assert!(failed.is_model_error(), "{failed:?}");
    let missing = runtime.invoke_endpoint().endpoint_name("nowhere").send().await.unwrap_err().into_service_error();
    assert!(missing.is_validation_error(), "{missing:?}");
}
