//! SageMaker's contract for containers, over real HTTP.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Cursor;
use std::net::Ipv4Addr;
use std::time::Duration;

use aging::{Aligner, EngineKind};
use container::Settings;
use container::handlers::face_aging::{self, FaceAging};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage, imageops};
use pipeline::{ErrorCode, JobError, strip};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

struct Server {
    url: String,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// A server that is ready.
    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_with(change, |_| ()).await
    }

    /// A server that is ready, with other settings of face ageing.
    async fn start_with(
        change: impl FnOnce(&mut Settings),
        change_handler: impl FnOnce(&mut face_aging::Settings),
    ) -> Self {
        let server = Self::loading(change, change_handler).await;
        while server.get("/ping").await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// A server that has just started.
    async fn loading(
        change: impl FnOnce(&mut Settings),
        change_handler: impl FnOnce(&mut face_aging::Settings),
    ) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let mut face_aging = face_aging::Settings { model_dir: None, ..face_aging::Settings::default() };
        change_handler(&mut face_aging);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let served =
            tokio::spawn(async { container::serve(listener, settings, FaceAging::new(face_aging)?, shutdown).await });
        Self { url, client: Client::builder().no_proxy().build().unwrap(), stop: Some(stop), served }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    fn invoke(&self, picture: Vec<u8>) -> RequestBuilder {
        self.client.post(format!("{}/invocations", self.url)).body(picture)
    }
}

fn portrait() -> RgbImage {
    image::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/astronaut.png")).unwrap().into_rgb8()
}

fn aligner() -> Aligner {
    Aligner::load(&[], EngineKind::Preview).unwrap()
}

/// The face of the portrait, and little around it.
fn close_up() -> RgbImage {
    imageops::crop_imm(&portrait(), 120, 40, 217, 191).to_image()
}

/// The bytes of panel `n` of a strip in an `.npy` file.
fn panel(file: &[u8], n: usize, ages: usize) -> Vec<u8> {
    let columns = strip::columns(n);
    let row = |row: &[u8]| row[columns.start * 3..columns.end * 3].to_vec();
    file[128..].chunks_exact(strip::row_bytes(ages)).flat_map(row).collect()
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png() -> Vec<u8> {
    encoded(&close_up(), ImageFormat::Png)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn refusal(response: Response) -> (StatusCode, JobError) {
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_ne!(header(&response, "content-length"), "");
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn finishes_admitted_invocations_when_it_is_stopped() {
    let mut server = Server::start(|_| ()).await;
    let taken = tokio::spawn(server.invoke(png()).send());
    // It is admitted once it is counted.
    while !server.get("/metrics").await.text().await.unwrap().contains("aging_in_flight 1\n") {
        tokio::task::yield_now().await;
    }
    server.stop.take().unwrap().send(()).unwrap();
    while server
        .client
        .get(format!("{}/ping", server.url))
        .send()
        .await
        .is_ok_and(|ping| ping.status() == StatusCode::OK)
    {
        tokio::task::yield_now().await;
    }
    // A further invocation is refused: by a 503, or because the listener is closed.
    if let Ok(response) = server.invoke(png()).send().await {
        let (status, error) = refusal(response).await;
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && error.message.contains("stopping"), "{}", error.message);
    }
    let response = taken.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.bytes().await.unwrap().len(), 128 + 1024 * strip::row_bytes(4));
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn limits_of_answers() {
    let server = Server::start(|settings| settings.max_response_bytes = 10_000_000).await;
    let attributes = "x-amzn-sagemaker-custom-attributes";
    let small = server.invoke(png()).header(attributes, "ages=30,60").send().await.unwrap();
    assert_eq!(small.status(), StatusCode::OK);
    let (status, error) = refusal(server.invoke(png()).header(attributes, "ages=30,60,90").send().await.unwrap()).await;
    assert_eq!((status.as_u16(), error.code), (406, ErrorCode::InvalidAges));
    assert!(error.message.contains("at most 10000000"), "{}", error.message);

    let server = Server::start(|settings| settings.response_timeout = Duration::from_millis(1)).await;
    let (status, error) = refusal(server.invoke(png()).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), error.code), (500, ErrorCode::ModelError));
    // The server goes on.
    assert_eq!(server.get("/ping").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_strip_as_npy() {
    let server = Server::start(|_| ()).await;
    let response = server
        .invoke(encoded(&portrait(), ImageFormat::Png))
        .header("content-type", "image/png")
        .header("accept", "application/x-npy")
        .header("x-amzn-sagemaker-custom-attributes", "trace=7; ages=10,75")
        .header("x-amzn-sagemaker-inference-id", "ada:9f2c41d07b3e")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "application/x-npy");
    assert_eq!(header(&response, "x-amzn-sagemaker-custom-attributes"), "engine=preview");
    assert_eq!(header(&response, "content-length"), (128 + 1024 * 3072 * 3).to_string());
    assert_eq!(header(&response, "transfer-encoding"), "");
    let headers = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    assert!(headers.sum::<usize>() < 4096);

    let file = response.bytes().await.unwrap();
    let (magic, header) = (&file[..10], std::str::from_utf8(&file[10..128]).unwrap());
    assert_eq!(magic, b"\x93NUMPY\x01\x00\x76\x00");
    assert_eq!(header.trim_end(), "{'descr': '|u1', 'fortran_order': False, 'shape': (1024, 3072, 3), }");
    assert!(header.ends_with('\n'));
    let aligned = aligner().portrait(&portrait()).unwrap().panel;
    let panel = |n: usize| panel(&file, n, 2);
    assert!(&panel(0) == aligned.as_raw(), "panel 0 is the aligned original");
    assert!(panel(1) != panel(0) && panel(2) != panel(1));
}

#[tokio::test]
async fn an_invocation_without_ages_gets_those_of_the_settings() {
    let server = Server::start_with(|_| (), |settings| settings.ages = "5".parse().unwrap()).await;
    // No Content-Type, and an unspecific one: the bytes decide.
    let jpeg = encoded(&close_up(), ImageFormat::Jpeg);
    let webp = encoded(&close_up(), ImageFormat::WebP);
    let requests = [server.invoke(jpeg), server.invoke(webp).header("content-type", "application/octet-stream")];
    for request in requests {
        let response = request.header("x-amzn-sagemaker-custom-attributes", "trace=7").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.bytes().await.unwrap().len(), 128 + 1024 * strip::row_bytes(1));
    }
}

/// A JPEG with an EXIF block of one entry, the orientation.
fn oriented(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    encoder.set_exif_metadata(exif).unwrap();
    encoder.write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).unwrap();
    bytes
}

#[tokio::test]
async fn the_same_face_in_every_variety_of_file() {
    let server = Server::start_with(|_| (), |settings| settings.ages = "35".parse().unwrap()).await;
    let portrait = portrait();
    let aligned = aligner().portrait(&portrait).unwrap().panel;
    let as_dynamic = DynamicImage::from(portrait.clone());
    let png = |picture: DynamicImage| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let grey = {
        let grey = aligner().portrait(&DynamicImage::from(as_dynamic.to_luma8()).to_rgb8()).unwrap().panel;
        (png(as_dynamic.to_luma8().into()), grey)
    };
    for (name, (photo, expected)) in [
        ("on its left side", (oriented(&imageops::rotate270(&portrait), 6), aligned.clone())),
        ("on its head", (oriented(&imageops::rotate180(&portrait), 3), aligned.clone())),
        ("in a mirror", (oriented(&imageops::flip_horizontal(&portrait), 2), aligned.clone())),
        ("with transparency", (png(as_dynamic.to_rgba8().into()), aligned.clone())),
        ("with 16 bits", (png(as_dynamic.to_rgb16().into()), aligned.clone())),
        ("grey", grey),
    ] {
        let response = server.invoke(photo).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        let original = panel(&response.bytes().await.unwrap(), 0, 1);
        let sum: u64 = original.iter().zip(expected.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        // Another compression can move a landmark by a pixel, and a pixel is five pixels of the panel.
        let mean = sum as f64 / original.len() as f64;
        assert!(mean < 16.0, "{name}: {mean}");
    }
}

#[tokio::test]
async fn a_strip_as_a_picture() {
    let server = Server::start_with(|_| (), |settings| settings.ages = "70".parse().unwrap()).await;
    for (accept, media_type, format) in [
        ("image/png", "image/png", ImageFormat::Png),
        ("image/jpeg", "image/jpeg", ImageFormat::Jpeg),
        ("image/webp, */*;q=0.1", "image/webp", ImageFormat::WebP),
    ] {
        let response = server.invoke(png()).header("accept", accept).send().await.unwrap();
        assert_eq!(header(&response, "content-type"), media_type);
        assert_eq!(header(&response, "x-amzn-sagemaker-custom-attributes"), "engine=preview");
        let bytes = response.bytes().await.unwrap();
        let picture = image::load_from_memory_with_format(&bytes, format).unwrap();
        assert_eq!((picture.width(), picture.height()), (2048, 1024));
    }
}

#[tokio::test]
async fn bad_pictures_say_what_would_work() {
    let server = Server::start(|_| ()).await;
    let jpeg = encoded(&portrait(), ImageFormat::Jpeg);
    let stamp = imageops::resize(&portrait(), 220, 220, imageops::FilterType::CatmullRom);
    let mut bomb = encoded(&RgbImage::new(64, 64), ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    bomb[29..33].copy_from_slice(&0x6c12_d16eu32.to_be_bytes());
    for (picture, status, code) in [
        (Vec::new(), 400, ErrorCode::CorruptImage),
        (b"hello, world".to_vec(), 415, ErrorCode::UnsupportedImage),
        (b"GIF89a\x01\0\x01\0\x80\0\0".to_vec(), 415, ErrorCode::UnsupportedImage),
        (jpeg[..jpeg.len() / 2].to_vec(), 400, ErrorCode::CorruptImage),
        (jpeg[..jpeg.len() - 40].to_vec(), 400, ErrorCode::CorruptImage),
        (encoded(&RgbImage::new(300, 40), ImageFormat::Png), 400, ErrorCode::NoFace),
        (encoded(&stamp, ImageFormat::Png), 400, ErrorCode::FaceTooSmall),
        (bomb, 413, ErrorCode::ImageTooLarge),
    ] {
        let (found, error) = refusal(server.invoke(picture).send().await.unwrap()).await;
        assert_eq!((found.as_u16(), error.code), (status, code), "{}", error.message);
    }
    assert_eq!(server.get("/ping").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn bad_requests_say_what_would_work() {
    let server = Server::start(|settings| settings.max_request_bytes = Some(200_000)).await;
    let check = async |request: RequestBuilder, status: u16, code| {
        let (found, error) = refusal(request.send().await.unwrap()).await;
        assert_eq!((found.as_u16(), error.code), (status, code), "{}", error.message);
        error.message
    };
    let attributes = "x-amzn-sagemaker-custom-attributes";
    for ages in ["ages=old", "ages=101", "ages=", "ages=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"] {
        check(server.invoke(png()).header(attributes, ages), 400, ErrorCode::InvalidAges).await;
    }
    let text = server.invoke(png()).header("content-type", "text/plain");
    assert!(check(text, 415, ErrorCode::UnsupportedImage).await.contains("text/plain"));
    let html = server.invoke(png()).header("accept", "text/html");
    assert!(check(html, 406, ErrorCode::UnsupportedImage).await.contains("application/x-npy"));
    let ages = "ages=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15";
    let wide = server.invoke(png()).header("accept", "image/webp").header(attributes, ages);
    assert!(check(wide, 406, ErrorCode::UnsupportedImage).await.contains("16384"));
    // The body is larger than the socket buffers. The answer still arrives, and the connection ends without an error.
    let large = server.invoke(vec![0; 30_000_000]);
    assert!(check(large, 413, ErrorCode::ImageTooLarge).await.contains("200000"));
}

#[tokio::test]
async fn other_routes_and_methods() {
    let server = Server::start(|_| ()).await;
    for (response, status) in [(server.get("/nothing").await, 404), (server.get("/invocations").await, 405)] {
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (status, "application/json"));
        assert!(response.text().await.unwrap().contains("POST"));
    }
}

#[tokio::test]
async fn batch_transform_learns_the_limits() {
    let server = Server::start(|settings| settings.max_request_bytes = Some(20 << 20)).await;
    let response = server.get("/execution-parameters").await;
    assert_eq!((response.status(), header(&response, "content-type")), (StatusCode::OK, "application/json"));
    let parameters: serde_json::Value = response.json().await.unwrap();
    let expected = serde_json::json!({
        "MaxConcurrentTransforms": 5, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 20
    });
    assert_eq!(parameters, expected);
}

#[tokio::test]
async fn overload_is_refused_at_once_and_counted() {
    let server = Server::start(|settings| settings.queue_length = 1).await;
    let mut answers = JoinSet::new();
    for _ in 0..12 {
        let ages = "ages=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15";
        let request = server.invoke(png()).header("x-amzn-sagemaker-custom-attributes", ages);
        answers.spawn(request.header("accept", "image/png").send());
    }
    let (mut served, mut refused) = (0, 0);
    while let Some(answer) = answers.join_next().await {
        let response = answer.unwrap().unwrap();
        if response.status() == StatusCode::OK {
            assert!(!response.bytes().await.unwrap().is_empty());
            served += 1;
        } else {
            assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
            assert_eq!(refusal(response).await.1.code, ErrorCode::ModelError);
            refused += 1;
        }
    }
    assert!(served >= 1 && refused >= 1 && served + refused == 12, "{served} served, {refused} refused");

    let response = server.get("/metrics").await;
    assert!(header(&response, "content-type").starts_with("application/openmetrics-text"));
    let metrics = response.text().await.unwrap();
    for line in [
        format!("aging_requests_total{{code=\"200\"}} {served}\n"),
        format!("aging_requests_total{{code=\"503\"}} {refused}\n"),
        format!("aging_service_seconds_count {served}\n"),
        format!("aging_waiting_seconds_count {served}\n"),
        format!("aging_stage_seconds_count{{stage=\"decode\"}} {served}\n"),
        "aging_queue_depth 0\n".to_owned(),
        "aging_in_flight 0\n".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}

/// A connection that announces a body of 1000 bytes and has sent one of them.
async fn slow(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n7").await.unwrap();
    stream
}

async fn wait_for_metric(server: &Server, line: &str) {
    while !server.get("/metrics").await.text().await.unwrap().contains(line) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bodies_that_do_not_arrive_keep_nobody_out() {
    let mut server = Server::start(|_| ()).await;
    let mut connections = Vec::new();
    for _ in 0..40 {
        connections.push(slow(&server).await);
    }
    wait_for_metric(&server, "aging_in_flight 40\n").await;
    assert_eq!(server.get("/ping").await.status(), StatusCode::OK);
    let response = server.invoke(png()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // The server ends all the same once they have gone.
    drop(connections);
    wait_for_metric(&server, "aging_in_flight 0\n").await;
    server.stop.take().unwrap().send(()).unwrap();
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_has_to_arrive_in_time() {
    let server = Server::start(|settings| settings.body_timeout = Duration::from_millis(300)).await;
    let mut stream = slow(&server).await;
    // The answer, and the end of the connection.
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408 "), "{answer}");
    let error: JobError = serde_json::from_str(body).unwrap();
    assert_eq!(error.code, ErrorCode::Timeout);
    assert!(error.message.contains("the body did not arrive within"), "{answer}");
    assert_eq!(server.invoke(png()).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_slow_body_is_still_served_when_the_server_stops() {
    let mut server = Server::start(|_| ()).await;
    let picture = png();
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept: image/png\r\ncontent-length: {}\r\n\r\n",
        picture.len()
    );
    stream.write_all(&[head.as_bytes(), &picture[..9]].concat()).await.unwrap();
    wait_for_metric(&server, "aging_in_flight 1\n").await;
    server.stop.take().unwrap().send(()).unwrap();
    while server.get("/ping").await.status() == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    stream.write_all(&picture[9..]).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer[..200]));
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_damaged_checkpoint_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.pt"), b"weights").unwrap();
    let server = Server::loading(|_| (), |settings| settings.model_dir = Some(folder.path().to_owned())).await;
    let error = server.served.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("model.pt"), "{error}");
}

#[tokio::test]
async fn a_server_on_the_loopback_interface_answers_no_other_host_and_no_foreign_page() {
    let server = Server::start(|_| ()).await;
    for path in ["/ping", "/metrics", "/execution-parameters", "/invocations"] {
        for (name, value) in [
            ("host", "evil.example"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let answer = server.client.get(format!("{}{path}", server.url)).header(name, value).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {name}: {value}");
            assert!(answer.text().await.unwrap().contains("FOREIGN_REQUEST"));
        }
    }
    let local =
        server.client.get(format!("{}/metrics", server.url)).header("host", "localhost:8080").send().await.unwrap();
    assert_eq!(local.status(), StatusCode::OK);
}
