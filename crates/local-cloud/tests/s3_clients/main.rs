//! S3 as real clients use it: aws-cli, rclone, s3cmd, s3fs and the AWS SDK for JavaScript, unmodified but for the address.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use local_cloud::{Cloud, Conditions, Listeners, Stack};
use tokio::net::TcpListener;

/// The files of this folder.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3_clients")
}

/// A folder for packages, which is kept between two runs.
fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a command to its end, and panics with its output if it fails.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy);
    assert!(output.status.success(), "{command:?}:\n{}\n{}", said[0], said[1]);
}

/// Installs what a list names, unless that was done before.
fn install(folder: &Path, list: &str, install: impl FnOnce()) {
    let (wanted, done) = (std::fs::read(source().join(list)).unwrap(), folder.join("installed"));
    if std::fs::read(&done).ok().as_ref() != Some(&wanted) {
        install();
        std::fs::write(done, wanted).unwrap();
    }
}

/// The programs of a virtual environment with the packages of a list.
fn python_environment(name: &str, list: &str) -> PathBuf {
    let folder = kept(name);
    let programs = folder.join("bin");
    install(&folder, list, || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        let pip = ["-m", "pip", "install", "--quiet", "--requirement"];
        run(Command::new(programs.join("python")).args(pip).arg(source().join(list)));
    });
    programs
}

/// Runs a script against a cloud of its own, in an empty folder. It finds the programs of a folder.
async fn as_client(program: &Path, script: &Path, programs: Option<&Path>) {
    let (data, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let listeners = Listeners { aws: bind().await, api: bind().await };
    let cloud =
        Cloud::start(&Stack::default(), &data.path().join("data"), listeners, Conditions::default()).await.unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = programs.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new(program);
    command
        .arg(script)
        .current_dir(work.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", work.path())
        .env("AWS_ENDPOINT_URL", format!("http://{}", cloud.aws_address()))
        .env("AWS_ACCESS_KEY_ID", "anything")
        .env("AWS_SECRET_ACCESS_KEY", "goes")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        // rclone cannot use it.
        .env_remove("AWS_CA_BUNDLE");
    tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_cli() {
    let programs = python_environment("s3-command-lines", "command_lines.txt");
    as_client(Path::new("sh"), &source().join("aws_cli.sh"), Some(&programs)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3cmd() {
    let programs = python_environment("s3-command-lines", "command_lines.txt");
    as_client(Path::new("sh"), &source().join("s3cmd.sh"), Some(&programs)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone() {
    as_client(Path::new("sh"), &source().join("rclone.sh"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3fs() {
    let programs = python_environment("s3-s3fs", "s3fs.txt");
    as_client(&programs.join("python"), &source().join("s3fs_files.py"), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript() {
    let folder = kept("s3-javascript");
    for name in ["package.json", "package-lock.json", "javascript.mjs"] {
        std::fs::copy(source().join(name), folder.join(name)).unwrap();
    }
    install(&folder, "package-lock.json", || {
        run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder));
    });
    as_client(Path::new("node"), &folder.join("javascript.mjs"), None).await;
}
