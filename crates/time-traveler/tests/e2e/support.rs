//! A running `time-traveler up`, and clients for it.

use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use image::{Rgb, RgbImage, imageops};
use reqwest::StatusCode;
use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_time-traveler");
/// How long any step may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the command line in a folder.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).current_dir(folder).output().unwrap()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub(crate) fn sample() -> PathBuf {
    repository().join("examples/astronaut.png")
}

pub(crate) fn portrait() -> RgbImage {
    image::open(sample()).unwrap().into_rgb8()
}

/// A small picture of a face. Every seed gives it another tint.
pub(crate) fn picture(seed: u8) -> Vec<u8> {
    let mut picture = imageops::crop_imm(&portrait(), 120, 40, 217, 191).to_image();
    picture.pixels_mut().for_each(|Rgb([_, _, blue])| *blue = blue.saturating_add(3 * seed));
    encoded(&picture, image::ImageFormat::Png)
}

pub(crate) fn encoded(picture: &RgbImage, format: image::ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

pub(crate) struct Up {
    child: Child,
    pub(crate) api: String,
    pub(crate) aws: String,
    pub(crate) http: reqwest::Client,
    log: Arc<Log>,
    /// The data folder, if it is temporary. It is deleted when it is dropped.
    folder: Option<tempfile::TempDir>,
}

impl Drop for Up {
    fn drop(&mut self) {
        // Its children end with it, which the tests in `restart` check.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    /// Starts on a temporary folder.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut up = Self::start_over(folder.path());
        up.folder = Some(folder);
        up
    }

    /// Starts on a folder that may have been used before.
    pub(crate) fn start_over(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts with more arguments.
    pub(crate) fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_by(Command::new(BINARY), data, arguments)
    }

    /// Starts with `RUST_LOG` set.
    pub(crate) fn start_logging(data: &Path, level: &str) -> Self {
        Self::start_in(data, "RUST_LOG", level)
    }

    /// Starts with a variable of the environment.
    pub(crate) fn start_in(data: &Path, name: &str, value: &str) -> Self {
        Self::start_in_with(data, (name, value), &[])
    }

    /// Starts with a variable of the environment and more arguments.
    pub(crate) fn start_in_with(data: &Path, variable: (&str, &str), arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.env(variable.0, variable.1);
        Self::start_by(command, data, arguments)
    }

    fn start_by(mut command: Command, data: &Path, arguments: &[&str]) -> Self {
        let mut child = command
            .args(["up", "--port", "0", "--aws-port", "0", "--json", "--data"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().unwrap();
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().push(line);
                writer.grown.notify_all();
            }
        });
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|_| {
            panic!("`up` did not start: {:?}", log.lines.lock().unwrap());
        });
        assert_eq!(ready["pid"], child.id());
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { child, api: address("api"), aws: address("aws"), http: reqwest::Client::new(), log, folder: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process as `kill -9` does. Its children end with it.
    pub(crate) fn kill(mut self) -> Option<tempfile::TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder.take()
    }

    /// Stops the process with SIGTERM, as a service manager does.
    pub(crate) fn terminate(mut self) -> (ExitStatus, Option<tempfile::TempDir>) {
        let kill = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().unwrap();
        assert!(kill.success());
        (self.child.wait().unwrap(), self.folder.take())
    }

    /// The output to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// The number of hops of a kind so far, such as `InvokeEndpointAsync`.
    pub(crate) fn hops(&self, action: &str) -> usize {
        self.log.lines.lock().unwrap().iter().filter(|line| line.contains(action)).count()
    }

    /// Waits until there were `count` hops of a kind.
    pub(crate) fn wait_for_hops(&self, action: &str, count: usize) {
        let lines = self.log.lines.lock().unwrap();
        let few = |lines: &mut Vec<String>| lines.iter().filter(|line| line.contains(action)).count() < count;
        let (lines, timeout) = self.log.grown.wait_timeout_while(lines, PATIENCE, few).unwrap();
        assert!(!timeout.timed_out(), "no {count} {action}: {lines:#?}");
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
        self.http.put(format!("{}{path}", self.api)).body(body).send().await.unwrap()
    }

    /// Sends raw bytes and returns the answer.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.api.strip_prefix("http://").unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.api)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    /// Uploads a picture and waits until its job is final.
    pub(crate) async fn send(&self, id: &str, picture: Vec<u8>) -> Value {
        let answer = self.put(&format!("/images/{id}"), picture).await;
        assert_eq!(answer.status(), StatusCode::OK);
        self.settled(id).await
    }

    /// Waits until a job is final, and returns it.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        let mut job = Value::Null;
        let waited = async {
            loop {
                job = self.json(&format!("/jobs/{id}?wait=20")).await;
                if ["SUCCESS", "FAILED", "CANCELLED"].contains(&job["status"].as_str().unwrap_or_default()) {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, waited).await.is_err() {
            let lines = self.log.lines.lock().unwrap();
            panic!("the job {id} is stuck: {job}\n{}", lines.join("\n"));
        }
        job
    }

    /// The configuration of SDK clients for this cloud, with arbitrary credentials.
    pub(crate) async fn sdk_config(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&self.aws)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("AKIDANYBODY", "whatever", None, None, "test"))
            .load()
            .await
    }

    pub(crate) async fn s3(&self) -> aws_sdk_s3::Client {
        aws_sdk_s3::Client::new(&self.sdk_config().await)
    }
}

/// The ids of a process's children.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-o", "pid=", "--ppid", &pid.to_string()]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(listed.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}
