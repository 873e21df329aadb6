//! `exec` itself: which cloud it uses, what its command sees, and how it ends.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{BINARY, done, python};

fn exec(data: &Path, arguments: &[&str], script: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(["exec", "--data"]).arg(data).args(arguments).args(["--", "sh", "-c", script]);
    command
}

#[test]
fn the_command_has_its_world_and_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo $AWS_ENDPOINT_URL $AWS_REGION ${AWS_PROFILE-none} ${AWS_ENDPOINT_URL_S3-none}; cat; command -v docker; exit 7";
    let mut command = exec(folder.path(), &[], script);
    command.env("AWS_PROFILE", "production").env("AWS_ENDPOINT_URL_S3", "http://elsewhere").stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("http://127.0.0.1:") && lines[0].ends_with(" us-east-1 none none"), "{said}");
    // The files of the launch are gone.
    assert!(lines[1].ends_with("/bin/docker") && !Path::new(lines[1]).exists(), "{said}");

    let killed = exec(folder.path(), &[], "kill -9 $$").output().unwrap();
    assert_eq!(killed.status.code(), Some(137));
    let mut missing = Command::new(BINARY);
    let missing = missing.args(["exec", "--", "/nonexistent/program"]).current_dir(&folder).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.starts_with("error: /nonexistent/program cannot be executed"), "{said}");
}

#[test]
fn a_running_cloud_is_used_with_its_images() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut up = Command::new(BINARY);
    up.args(["up", "--port", "0", "--aws-port", "0", "--json", "--image", "mine=sh -c true", "--data"]).arg(&data);
    let mut up = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let aws = ready["aws"].as_str().unwrap();

    let script =
        "echo $AWS_ENDPOINT_URL; docker images -q 1.dkr.ecr.us-east-1.amazonaws.com/mine:2; docker images -q more";
    let said = done(exec(&data, &["--image", "more=sh -c true"], script).output().unwrap());
    assert_eq!(said.lines().collect::<Vec<_>>(), [aws, "1.dkr.ecr.us-east-1.amazonaws.com/mine:2", "more"]);
    let fresh =
        done(exec(&data, &["--fresh"], "echo $AWS_ENDPOINT_URL; docker images -q mine; true").output().unwrap());
    assert!(!fresh.contains(aws) && fresh.contains("\"mine\" does not exist here"), "{fresh}");

    // A note that a killed cloud left does not count.
    up.kill().unwrap();
    up.wait().unwrap();
    let said = done(exec(&data, &[], "echo $AWS_ENDPOINT_URL").output().unwrap());
    assert!(said.starts_with("http://127.0.0.1:") && said.trim() != aws, "{said}");
}

#[test]
fn why_a_job_failed_is_said_with_the_last_words_of_its_program() {
    let folder = tempfile::tempdir().unwrap();
    let script = "
import boto3
sagemaker = boto3.client('sagemaker')
sagemaker.create_training_job(TrainingJobName='job', RoleArn='arn:aws:iam::000000000000:role/r',
    AlgorithmSpecification={'TrainingImage': 'bad', 'TrainingInputMode': 'File'},
    OutputDataConfig={'S3OutputPath': 's3://out'}, StoppingCondition={'MaxRuntimeInSeconds': 60},
    ResourceConfig={'InstanceType': 'ml.m5.large', 'InstanceCount': 1, 'VolumeSizeInGB': 1})
while sagemaker.describe_training_job(TrainingJobName='job')['TrainingJobStatus'] == 'InProgress':
    pass
";
    let mut command = Command::new(BINARY);
    command.args(["exec", "--fresh", "--image", "bad=sh -c 'echo the last words; exit 3'", "--"]);
    let output = command.arg(python("sdk2")).args(["-c", script]).current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let at = lines.iter().position(|line| *line == "job failed: AlgorithmError: , exit code: 3").expect(&said);
    assert_eq!(lines[at + 2], "    the last words", "{said}");
}
