//! Unmodified scripts of the SageMaker SDK, versions 2 and 3, by `time-traveler exec`. None may talk to another machine.

#![allow(clippy::unwrap_used, reason = "what a test finds missing is its failure")]

mod exec;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

const BINARY: &str = env!("CARGO_BIN_EXE_time-traveler");

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").canonicalize().unwrap()
}

/// The interpreter of a virtual environment with the packages of `{name}.txt`, made once. The lists name every package, without the
/// gigabytes that version 3 asks for and these scripts do not use.
fn python(name: &str) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let requirements = scripts().join(format!("{name}.txt"));
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).output().unwrap());
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"];
        done(Command::new(&python).args(pip).arg(&requirements).output().unwrap());
        std::fs::write(installed, wanted).unwrap();
    }
    python
}

fn done(output: Output) -> String {
    let said = [&output.stdout[..], &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{}:\n{}\n{}", output.status, said[0], said[1]);
    said.concat()
}

/// Runs a script in an empty folder, with these images and variables.
fn run(sdk: &str, script: &str, images: &[(&str, PathBuf)], variables: &[(&str, String)]) {
    run_by(Command::new(BINARY), sdk, script, images, variables);
}

/// The same, with the command that is the program.
fn run_by(mut command: Command, sdk: &str, script: &str, images: &[(&str, PathBuf)], variables: &[(&str, String)]) {
    let folder = tempfile::tempdir().unwrap();
    let python = python(sdk);
    command.arg("exec");
    for (name, program) in images {
        command.args(["--image", &format!("{name}='{}' '{}'", python.display(), program.display())]);
    }
    command.arg("--").arg(&python).arg(scripts().join("unhurried.py")).arg(scripts().join(script));
    command.envs(variables.iter().map(|(name, value)| (name, value))).current_dir(&folder);
    // Another user's settings change nothing.
    command.env("AWS_PROFILE", "production").env("HOME", folder.path());
    let said = done(command.output().unwrap());
    assert!(said.contains("done"), "{said}");
}

fn framework() -> [(&'static str, PathBuf); 2] {
    ["pytorch-training", "pytorch-inference"].map(|image| (image, examples().join("framework_image/framework.py")))
}

fn source() -> (&'static str, String) {
    ("SCRIPTS", examples().join("framework_image/source").display().to_string())
}

#[test]
fn version_2_trains_attaches_and_stops() {
    run("sdk2", "v2_training.py", &[("line", examples().join("own_image/line.py"))], &[]);
}

#[test]
fn version_2_deploys_asks_and_updates() {
    run("sdk2", "v2_endpoints.py", &framework(), &[source()]);
}

#[test]
fn version_2_trains_and_serves_a_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let mut make = Command::new(BINARY);
    make.args(["dataset", "make", "pets", "--format", "pets", "--classes", "4", "--pictures", "80"]);
    done(make.current_dir(&folder).output().unwrap());
    let pictures = folder.path().join("pets/images").display().to_string();
    run("sdk2", "v2_classifier.py", &[], &[("PICTURES", pictures)]);
}

#[test]
fn version_2_takes_labels_to_an_evaluated_endpoint() {
    let config = examples().join("faster-rcnn/config.yaml").display().to_string();
    // A few steps find nothing yet.
    let opts = "SOLVER.MAX_ITER 4 TEST.EVAL_PERIOD 2 SOLVER.WARMUP_ITERS 1".to_owned();
    let variables = [("PICTURES", "20".to_owned()), ("OPTS", opts), ("LEAST", "0".to_owned())];
    run(
        "sdk2",
        "v2_objects.py",
        &[],
        &[&[("PROGRAM", BINARY.to_owned()), ("CONFIG", config)][..], &variables].concat(),
    );
}

#[test]
fn version_2_transforms() {
    run("sdk2", "v2_transform.py", &[("upper", examples().join("own_image/upper.py"))], &[]);
}

#[test]
fn version_2_has_its_local_mode_without_docker() {
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = ports.map(|listener| listener.local_addr().unwrap().port().to_string()).join(" ");
    run("sdk2", "v2_local_mode.py", &framework(), &[source(), ("PORTS", ports)]);
}

/// The program where the kernel gives no process a mount namespace: in a user namespace whose limits are 0. A system that gives no user
/// namespace needs none.
fn without_namespaces() -> Command {
    let user = ["--user", "--map-root-user"];
    let limits = "echo 0 >/proc/sys/user/max_mnt_namespaces && echo 0 >/proc/sys/user/max_user_namespaces";
    let works =
        |script: &str| Command::new("unshare").args(user).args(["sh", "-c", script]).status().unwrap().success();
    if !works("true") {
        return Command::new(BINARY);
    }
    assert!(works(&format!("{limits} && ! unshare --mount true")), "the limits cannot be set");
    let mut command = Command::new("unshare");
    command.args(user).args(["sh", "-c", &format!("{limits} && exec \"$@\""), "sh", BINARY]);
    command
}

#[test]
fn version_2_works_without_namespaces() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let image = ("line", examples().join("own_image/line.py"));
    run_by(without_namespaces(), "sdk2", "v2_without_namespaces.py", &[image], &[("PORT", port)]);
}

#[test]
fn a_file_of_resources_is_there_from_the_start() {
    let script = "
import boto3
answer = boto3.client('sagemaker-runtime').invoke_endpoint(EndpointName='capitals', Body=b'one', ContentType='text/plain')
print(answer['Body'].read().decode())
table = boto3.resource('dynamodb').Table('results')
table.put_item(Item={'run': 'a', 'step': 1})
print(table.get_item(Key={'run': 'a', 'step': 1})['Item']['run'], [one['Name'] for one in boto3.client('s3').list_buckets()['Buckets']])
";
    let stack = examples().join("stack.toml");
    let mut command = Command::new(BINARY);
    command.args(["exec", "--fresh", "--stack"]).arg(&stack).arg("--").arg(python("sdk2")).args(["-c", script]);
    let said = done(command.output().unwrap());
    assert_eq!(said.trim(), "ONE\na ['measurements', 'sagemaker-us-east-1-000000000000']");
}

#[test]
fn version_3_trains_builds_and_transforms() {
    run("sdk3", "v3_jobs.py", &[("line", examples().join("own_image/line.py"))], &[source()]);
}

#[test]
fn a_script_that_would_leave_the_machine_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.py");
    std::fs::write(&script, "import socket; socket.create_connection(('sts.us-east-1.amazonaws.com', 443))").unwrap();
    let output = Command::new("python3").arg(scripts().join("unhurried.py")).arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(86));
    assert!(String::from_utf8_lossy(&output.stdout).contains("sts.us-east-1.amazonaws.com"));
}
