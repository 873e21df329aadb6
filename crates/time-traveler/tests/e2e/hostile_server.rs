//! What `send` does with the answers of a server that means harm.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline::Revision;
use serde_json::{Value, json};

use crate::support::{BINARY, Up, encoded, picture};

/// The ETag that the servers here give to every photograph.
const ETAG: &str = "\"e\"";

/// A request: its first line, its head and the length of its body.
struct Asked {
    line: String,
    head: String,
    length: usize,
}

/// A server that writes whatever `answer` says, and remembers what it was asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (requests, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    if let Some(asked) = read(&mut reader) {
                        let line = asked.line.clone();
                        requests.lock().unwrap().push(asked);
                        // The client may hang up.
                        let _ = answer(&line, reader.get_mut());
                    }
                });
            }
        });
        Self { address, asked }
    }

    /// A server that answers everything with 404.
    fn idle() -> Self {
        Self::start(|_, stream| reply(stream, "404 Not Found", b"{}"))
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let (mut line, mut head) = (String::new(), String::new());
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if header == "\r\n" {
            break;
        }
        head.push_str(&header);
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(Asked { line, head, length })
}

fn reply(stream: &mut TcpStream, head: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// A job of the photograph `ada` at 40, with its pictures at these paths.
fn job(paths: &[&str]) -> Value {
    let moment = "2026-11-21T13:08:00.123Z";
    let images: Vec<Value> = paths.iter().map(|path| json!({"age": null, "path": path})).collect();
    json!({"id": "ada", "revision": Revision::new(ETAG, "40"), "etag": "e", "status": "SUCCESS", "ages": [40],
        "model": "preview", "images": images, "error": null, "createdAt": moment, "updatedAt": moment})
}

/// A deployment whose job is this one, and whose files are all the same picture, or what `file` writes.
fn deployment(
    job: Value,
    file: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    let sent = Mutex::new(false);
    Server::start(move |line, stream| {
        if line.starts_with("PUT") {
            *sent.lock().unwrap() = true;
            reply(stream, &format!("200 OK\r\netag: {ETAG}"), b"")
        } else if line.starts_with("GET /jobs/") {
            let is_sent = *sent.lock().unwrap();
            if is_sent {
                reply(stream, "200 OK", job.to_string().as_bytes())
            } else {
                reply(stream, "404 Not Found", b"{}")
            }
        } else {
            file(line, stream)
        }
    })
}

fn png() -> Vec<u8> {
    encoded(&image::RgbImage::new(8, 8), image::ImageFormat::Png)
}

fn send(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String) {
    std::fs::write(folder.join("ada.png"), picture(1)).unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", folder).env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
    command.current_dir(folder).args(["send", "--no-animation", "--ages", "40"]).args(arguments);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn no_photograph_follows_a_redirect() {
    let folder = tempfile::tempdir().unwrap();
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let elsewhere = Server::idle();
        let head = format!("{status}\r\nlocation: {}/images/ada", elsewhere.url());
        let api = Server::start(move |line, stream| match line.starts_with("PUT") {
            true => reply(stream, &head, b""),
            false => reply(stream, "404 Not Found", b"{}"),
        });
        let (output, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[("TIME_TRAVELER_TOKEN", "e30")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(&format!("answered {status}, and redirects are not followed")), "{said}");
        assert_eq!(elsewhere.lines(), Vec::<String>::new(), "{status}");
    }
    // Neither does the question for a job.
    let elsewhere = Server::idle();
    let head = format!("302 Found\r\nlocation: {}/jobs/ada", elsewhere.url());
    let api = Server::start(move |_, stream| reply(stream, &head, b""));
    let (output, _) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert_eq!((output.status.code(), elsewhere.lines()), (Some(1), Vec::new()));
}

#[test]
fn a_presigned_upload_follows_no_redirect() {
    let folder = tempfile::tempdir().unwrap();
    // Only the beginning of a picture is looked at before it is sent.
    let large = [picture(1), vec![0; 11 << 20]].concat();
    std::fs::write(folder.path().join("large.png"), large).unwrap();
    let elsewhere = Server::idle();
    let head = format!("307 Temporary Redirect\r\nlocation: {}/uploads/large", elsewhere.url());
    let storage = Server::start(move |_, stream| reply(stream, &head, b""));
    let url = storage.url();
    let api = Server::start(move |line, stream| {
        let answer = json!({"url": format!("{url}/uploads/large"), "method": "PUT", "headers": {}, "ages": [40]});
        match line.starts_with("POST") {
            true => reply(stream, "200 OK", answer.to_string().as_bytes()),
            false => reply(stream, "404 Not Found", b"{}"),
        }
    });
    let (output, said) = send(folder.path(), &["large.png", "--api", &api.url()], &[("TIME_TRAVELER_TOKEN", "e30")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("redirects are not followed"), "{said}");
    assert_eq!(elsewhere.lines(), Vec::<String>::new());
    let stored = storage.asked.lock().unwrap();
    assert_eq!(stored.len(), 1);
    assert!(
        stored[0].length > 11 << 20 && !stored[0].head.to_lowercase().contains("authorization"),
        "{}",
        stored[0].head
    );
}

#[test]
fn tokens_go_by_https_or_stay_on_this_machine_each_to_its_own_api() {
    let folder = tempfile::tempdir().unwrap();
    let token = [("TIME_TRAVELER_TOKEN", "e30")];
    let keys = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t")];
    // A proxy would read what goes by http.
    let proxy = Server::idle();
    let url = proxy.url();
    let away = "http://portraits.example";
    for (arguments, environment) in [
        (&["ada.png", "--api", away][..], &token[..]),
        (&["ada.png", "--api", away, "--sign", "eu-west-1"], &keys),
        (&["ada.png", "--jobs-api", away], &[("TIME_TRAVELER_JOBS_TOKEN", "e30")]),
    ] {
        let environment = [environment, &[("http_proxy", &*url)]].concat();
        let (output, said) = send(folder.path(), arguments, &environment);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains("would be readable on its way to this address, https would work"), "{said}");
    }
    // The HTTP API here is at another address, so it gets no token of the REST API.
    let (images, jobs) = (Server::idle(), Server::idle());
    let arguments = ["ada.png", "--api", &images.url(), "--jobs-api", &jobs.url()];
    let (output, said) = send(folder.path(), &arguments, &token);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("set TIME_TRAVELER_JOBS_TOKEN to the token for"), "{said}");
    assert!(images.lines().is_empty() && jobs.lines().is_empty() && proxy.lines().is_empty());
    let both = [token[0], ("TIME_TRAVELER_JOBS_TOKEN", "e31"), ("http_proxy", &url)];
    send(folder.path(), &arguments, &both);
    for (server, token) in [(&images, "e30"), (&jobs, "e31")] {
        let asked = server.asked.lock().unwrap();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked.head.contains(&format!("Bearer {token}"))));
    }
    assert!(proxy.lines().is_empty(), "a request to this machine went to the proxy");
}

#[test]
fn pictures_come_from_the_api_and_get_their_names_by_position() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Server::idle();
    for path in [format!("@{}/0.jpg", elsewhere.address), format!(".{}/0.jpg", elsewhere.address), "0.jpg".to_owned()] {
        let api = deployment(job(&[&path, "/1.jpg"]), |_, stream| reply(stream, "200 OK", &png()));
        let (output, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[("TIME_TRAVELER_TOKEN", "e30")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains("one that begins with / would work"), "{said}");
    }
    assert_eq!(elsewhere.lines(), Vec::<String>::new());
    assert!(!folder.path().join("out").exists());

    let api = deployment(job(&["/a/.bashrc", "/a/..\\..\\evil.exe"]), |_, stream| reply(stream, "200 OK", &png()));
    let (output, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let mut names: Vec<String> = std::fs::read_dir(folder.path().join("out/ada"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".pictures.sha256", "0.png", "1.png", "strip.npy"]);

    for (paths, file, reason) in [
        (&["/0.jpg"][..], &png()[..], "the job ada has 1 pictures, but 1 ages make 2"),
        (&["/0.jpg"; 1000], &png(), "the job ada has 1000 pictures"),
        (&["/0.jpg"; 2], b"#!/bin/sh", "/0.jpg is no picture"),
    ] {
        let file = file.to_vec();
        let api = deployment(job(paths), move |_, stream| reply(stream, "200 OK", &file));
        let (output, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(reason), "{said}");
    }
}

/// Writes an answer without end, and returns how much the client took.
fn endless(stream: &mut TcpStream, head: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n")?;
    let part = [b' '; 1 << 16];
    loop {
        stream.write_all(&part)?;
    }
}

#[test]
fn endless_answers_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let api = Server::start(|_, stream| endless(stream, "200 OK"));
    let (_, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert!(said.contains("the job has more than 1048576 bytes"), "{said}");
    let api = Server::start(|_, stream| endless(stream, "500 Internal Server Error"));
    let (_, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert!(said.contains("answered 500") && said.len() < 20_000, "{} bytes", said.len());
    let paths = ["/0.jpg", "/1.jpg"];
    let api = deployment(job(&paths), |_, stream| endless(stream, "200 OK"));
    let (_, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert!(said.contains("/0.jpg has more than 16777216 bytes"), "{said}");
    let api = deployment(job(&paths), |line, stream| match line.contains("strip.npy") {
        true => endless(stream, "206 Partial Content\r\ncontent-range: bytes 0-8388607/9000000000"),
        false => reply(stream, "200 OK", &png()),
    });
    let (_, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert!(said.contains("strip.npy has more than 6361456 bytes"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn what_others_named_moves_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let harm = "x\x1b[2J\u{9b}31m\nerror: forged\r\u{202e}";
    let is_harmless = |text: &str| {
        assert!(!text.contains(['\x1b', '\u{9b}', '\r', '\u{202e}']), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{text:?}");
    };
    let body = json!({"message": harm}).to_string();
    let api = Server::start(move |_, stream| reply(stream, "400 Bad Request", body.as_bytes()));
    let (_, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert!(said.contains("x\\u001b[2J\\u009b31m\\nerror: forged\\r\\u202e"), "{said}");
    is_harmless(&said);

    let mut failed = job(&[]);
    failed["status"] = json!("FAILED");
    failed["error"] = json!({"code": "MODEL_ERROR", "message": harm});
    let api = deployment(failed, |_, stream| reply(stream, "404 Not Found", b""));
    let (output, said) = send(folder.path(), &["ada.png", "--api", &api.url(), "--json"], &[]);
    assert!(said.contains("MODEL_ERROR: x\\u001b[2J"), "{said}");
    is_harmless(&said);
    let printed = String::from_utf8(output.stdout).unwrap();
    is_harmless(&printed);
    let line: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(line["jobs"][0]["error"]["message"], harm);

    let mut done = job(&["/0.png", "/1.png"]);
    done["model"] = json!(harm);
    let api = deployment(done, |_, stream| reply(stream, "200 OK", &png()));
    let (output, said) = send(folder.path(), &["ada.png", "--api", &api.url()], &[]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    is_harmless(&String::from_utf8(output.stdout).unwrap());

    // A file's name.
    let name = "x\x1b[2J\u{9b}31m\nerror: forged.png";
    std::fs::write(folder.path().join(name), "no picture").unwrap();
    for command in ["send", "faces", "age", "demo"] {
        let output = Command::new(BINARY).args([command, name]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("x\\u001b[2J\\u009b31m\\nerror: forged.png"), "{command}: {said}");
        is_harmless(&said);
    }
    let output = Command::new(BINARY).args(["send", "--x\x1b[2J\u{9b}31m"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    is_harmless(&String::from_utf8(output.stderr).unwrap());

    // The types and names of a checkpoint's tensors.
    for header in [
        json!({"w": {"dtype": "F32\x1b[2J\u{9b}31m\nerror: forged", "shape": [1], "data_offsets": [0, 4]}}),
        json!({"encoder.x\x1b[2J\u{9b}31m\nerror: forged": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
    ] {
        let header = header.to_string();
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
        std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
        for json in [&[][..], &["--json"]] {
            let mut command = Command::new(BINARY);
            let output = command.args(["model", "inspect", "model.safetensors"]).args(json).current_dir(folder.path());
            let output = output.output().unwrap();
            is_harmless(&String::from_utf8(output.stdout).unwrap());
            is_harmless(&String::from_utf8(output.stderr).unwrap());
        }
    }
}

#[tokio::test]
async fn the_key_of_an_object_writes_no_line_of_its_own() {
    let up = Up::start();
    let key = "uploads/x\n      9 ms  S3          forged \u{9b}2J";
    up.s3().await.put_object().bucket("portraits").key(key).body(picture(1).into()).send().await.unwrap();
    up.wait_for_hops("Object Created", 1);
    let log = up.log();
    assert!(log.contains("uploads/x\\n      9 ms  S3          forged \\u009b2J"), "{log:?}");
    assert!(!log.contains('\u{9b}') && !log.lines().any(|line| line.starts_with("      9 ms")), "{log:?}");
}
