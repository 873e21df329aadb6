//! The model server under a load of good, bad and interrupted requests.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use image::{ImageFormat, Rgb, RgbImage};
use pipeline::strip;
use reqwest::{Client, Response, StatusCode};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CLIENTS: usize = 64;
const REQUESTS: usize = 2000;
/// The colour that makes the model panic.
const PANIC: [u8; 3] = [255, 0, 255];
const AGE: u8 = 40;

/// The example `quick_server`: the server with a model of a few milliseconds.
struct Server {
    process: Mutex<Child>,
    url: String,
    client: Client,
    log: NamedTempFile,
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl Server {
    async fn start(queue_length: usize) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut process = Command::new(quick_server())
            .envs([("SAGEMAKER_BIND_TO_PORT", "0"), ("QUEUE_LENGTH", &queue_length.to_string())])
            // The debug information that a backtrace reads would count as memory.
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        // A connection for each request, since the end of a kept connection says nothing about a request.
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
        let server = Self { process: Mutex::new(process), url: url.trim().to_owned(), client, log };
        while server.get("/ping").await.status() != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// The metrics by name, labels included.
    async fn metrics(&self) -> BTreeMap<String, f64> {
        let text = self.get("/metrics").await.text().await.unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap())).unwrap())
            .collect()
    }

    fn invoke(&self, picture: Vec<u8>) -> reqwest::RequestBuilder {
        let attributes = ("x-amzn-sagemaker-custom-attributes", format!("ages={AGE}"));
        self.client.post(format!("{}/invocations", self.url)).header(attributes.0, attributes.1).body(picture)
    }

    /// The statuses of the log's invocations, and how often each is there.
    fn logged(&self) -> BTreeMap<String, usize> {
        let mut statuses = BTreeMap::new();
        for line in std::fs::read_to_string(self.log.path()).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            if line["message"].as_str().is_some_and(|message| message.starts_with("invocation")) {
                *statuses.entry(line["status"].to_string()).or_default() += 1;
            }
        }
        statuses
    }
}

/// The program beside this test's own, which lies in `deps`.
fn quick_server() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let server = test.ancestors().nth(2).unwrap().join("examples/quick_server");
    assert!(server.is_file(), "{} is missing: cargo build -p container --example quick_server", server.display());
    server
}

fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(40, 40, Rgb(colour)).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A colour for each request; never the colour of the panic.
fn colour(number: usize) -> [u8; 3] {
    [(number % 200) as u8, (number / 200) as u8, 7]
}

/// Whether this is exactly the strip of that colour.
fn is_strip(file: &[u8], colour: [u8; 3]) -> bool {
    let aged = colour.map(|level| level.saturating_add(AGE));
    let row = [colour.repeat(strip::PANEL), aged.repeat(strip::PANEL)].concat();
    file.len() == 128 + strip::PANEL * row.len() && file[128..].chunks_exact(row.len()).all(|found| found == row)
}

/// What a client saw.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Right,
    /// 503 with `Retry-After`.
    Refused,
    /// 4xx with a code.
    BadPicture,
    /// 500 with `MODEL_ERROR`.
    Panicked,
    HungUp,
    /// The connection was refused, or ended without a status.
    Disconnected,
}

async fn good(server: &Server, number: usize) -> Seen {
    let Ok(response) = server.invoke(png(colour(number))).send().await else { return Seen::Disconnected };
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        assert!(response.headers().contains_key("retry-after"));
        return Seen::Refused;
    }
    assert_eq!(response.status(), StatusCode::OK);
    let strip = response.bytes().await.expect("an answer that begins is whole");
    assert!(is_strip(&strip, colour(number)), "an answer of {} bytes to {number} is not its own", strip.len());
    Seen::Right
}

async fn bad(server: &Server, number: usize) -> Seen {
    let picture = match number % 3 {
        0 => b"hello".to_vec(),
        1 => Vec::new(),
        _ => png(colour(number))[..60].to_vec(),
    };
    let response = server.invoke(picture).send().await.unwrap();
    let (status, error) = (response.status(), response.json::<pipeline::JobError>().await.unwrap());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return Seen::Refused;
    }
    assert!(status.is_client_error(), "{status} {error}");
    Seen::BadPicture
}

/// Hangs up in the middle of the body, or after it.
async fn hang_up(server: &Server, number: usize) -> Seen {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let picture = png(colour(number));
    let head = format!("POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", picture.len());
    let sent = if number.is_multiple_of(2) { picture.len() / 2 } else { picture.len() };
    stream.write_all(&[head.as_bytes(), &picture[..sent]].concat()).await.unwrap();
    Seen::HungUp
}

async fn breaking(server: &Server) -> Seen {
    loop {
        let response = server.invoke(png(PANIC)).send().await.unwrap();
        // A refused request makes nothing panic.
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            continue;
        }
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.text().await.unwrap().contains("MODEL_ERROR"));
        return Seen::Panicked;
    }
}

/// Of a hundred requests, five are bad and two hang up. One of all requests makes the model panic.
async fn mixed(server: &Server, number: usize) -> Seen {
    match number {
        1000 => breaking(server).await,
        _ if number % 20 == 3 => bad(server, number).await,
        _ if number % 50 == 7 => hang_up(server, number).await,
        _ => good(server, number).await,
    }
}

/// What [`CLIENTS`] clients see. Each takes the next number after its answer.
async fn load(server: &Arc<Server>, requests: usize) -> BTreeMap<Seen, usize> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (server, next) = (server.clone(), next.clone());
        clients.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return seen;
                }
                seen.push(mixed(&server, number).await);
            }
        });
    }
    counted(clients.join_all().await)
}

fn counted(seen: Vec<Vec<Seen>>) -> BTreeMap<Seen, usize> {
    let mut counts = BTreeMap::new();
    for seen in seen.into_iter().flatten() {
        *counts.entry(seen).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_gets_one_answer_and_memory_stays() {
    // The queue is a little shorter than the number of clients.
    let server = Arc::new(Server::start(CLIENTS - 4).await);
    // One-time allocations are made by the first load, those of a panic included.
    load(&server, REQUESTS).await;
    let settled = |metrics: &BTreeMap<String, f64>| metrics["aging_in_flight"] == 0.0;
    let mut before = server.metrics().await;
    while !settled(&before) {
        before = server.metrics().await;
    }
    let start = Instant::now();
    let seen = load(&server, REQUESTS).await;
    let seconds = start.elapsed().as_secs_f64();
    let mut after = server.metrics().await;
    while !settled(&after) {
        after = server.metrics().await;
    }
    println!("{seen:?} in {seconds:.1} s");

    assert_eq!(seen.values().sum::<usize>(), REQUESTS);
    assert_eq!((seen[&Seen::Panicked], seen[&Seen::HungUp]), (1, REQUESTS / 50));
    assert!(!seen.contains_key(&Seen::Disconnected));
    assert!(seen[&Seen::Right] > REQUESTS / 2, "{seen:?}");
    let grown = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
    // After a panic in a batch of several, it makes the model panic once more, alone.
    assert!((1.0..=2.0).contains(&grown("aging_rebuilds_total")));
    assert_eq!((after["aging_queue_depth"], server.get("/ping").await.status()), (0.0, StatusCode::OK));
    // Every request is counted once, as answered or abandoned. One that hung up before it was read is not counted.
    let counted: f64 =
        after.keys().filter(|name| name.starts_with("aging_requests_total")).map(|name| grown(name)).sum();
    let counted = (counted + grown("aging_abandoned_total")) as usize;
    assert!((REQUESTS - seen[&Seen::HungUp]..=REQUESTS).contains(&counted), "{counted}");
    let shared = grown("aging_pass_requests_sum") / grown("aging_pass_requests_count");
    println!("{shared:.2} requests in a batch");
    let memory = |metrics: &BTreeMap<String, f64>| metrics["aging_resident_memory_bytes"] / 1e6;
    println!("{:.1} MB before, {:.1} MB after", memory(&before), memory(&after));
    assert!(memory(&after) < 1.1 * memory(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_admitted_request_is_lost_at_sigterm() {
    let server = Arc::new(Server::start(16).await);
    let rights = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for client in 0..24 {
        let (server, rights) = (server.clone(), rights.clone());
        clients.spawn(async move {
            let mut seen = Vec::new();
            // Until the server is gone.
            while seen.last() != Some(&Seen::Disconnected) {
                seen.push(good(&server, client).await);
                rights.fetch_add(usize::from(seen.last() == Some(&Seen::Right)), Ordering::Relaxed);
            }
            seen
        });
    }
    while rights.load(Ordering::Relaxed) < 200 {
        tokio::task::yield_now().await;
    }
    let signalled = Command::new("kill").args(["-TERM", &server.process.lock().unwrap().id().to_string()]).status();
    let (stop, start) = (signalled.unwrap(), Instant::now());
    assert!(stop.success());
    let seen = counted(clients.join_all().await);
    let status = server.process.lock().unwrap().wait().unwrap();
    println!("{seen:?}, gone after {:.2} s", start.elapsed().as_secs_f64());
    assert!(status.success() && start.elapsed() < Duration::from_secs(25), "{status}");
    // The clients got exactly the answers that the log has.
    let logged = server.logged();
    assert_eq!(logged.get("200"), seen.get(&Seen::Right));
    assert_eq!(logged.get("503"), seen.get(&Seen::Refused));
    assert_eq!(logged.keys().filter(|status| !["200", "503"].contains(&status.as_str())).count(), 0, "{logged:?}");
}
