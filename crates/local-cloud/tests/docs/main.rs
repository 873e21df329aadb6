//! The documents of the crate: the tables of rules name tests, and inputs are read whole.
//!
//! The table of operations in `docs/local-cloud.md`: what the running cloud answers to every operation that AWS has.
//!
//! `UPDATE_DOCS=1` writes the table anew.

#![allow(clippy::unwrap_used, reason = "a missing part of a test is its failure")]

mod names;
mod probe;
mod rules;
mod samples;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use names::{Member, Operation, parse};
use probe::Probe;

const BEGIN: &str = "<!-- operations: begin -->\n";
const END: &str = "<!-- operations: end -->";

/// The most operations of a service that are listed by name where they are not implemented.
const LISTED: usize = 100;
/// The longest line of a list.
const WIDTH: usize = 140;

/// What the cloud implements of a service.
struct Service {
    name: &'static str,
    /// Each with the members that it refuses, where they were looked at.
    implemented: Vec<(&'static str, Option<Vec<&'static str>>)>,
    missing: Vec<&'static str>,
}

impl Service {
    fn new(name: &'static str) -> Self {
        Self { name, implemented: Vec::new(), missing: Vec::new() }
    }

    fn add(&mut self, operation: &Operation, implemented: bool) {
        match implemented {
            true => self.implemented.push((operation.name, None)),
            false => self.missing.push(operation.name),
        }
    }
}

/// The source of S3's operations. `s3s` reads a request before it refuses its operation, so that the answers do not tell.
fn s3_source() -> String {
    let list = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/s3/operations.rs"));
    let files = fs::read_dir(list.with_extension("")).unwrap().map(|entry| entry.unwrap().path());
    files.chain([list]).map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Whether the source of an operation reads a member of its input.
fn reads(source: &str, operation: &Operation, member: &Member) -> bool {
    let fields =
        source.split(&format!("let {}Input {{", operation.name)).nth(1).and_then(|rest| rest.split('}').next());
    // A macro writes the operations that take nothing but a bucket and its owner.
    let fields = fields.unwrap_or("bucket, expected_bucket_owner");
    let mut names = fields.split(',').map(|field| field.split(':').next().unwrap().trim().replace('_', ""));
    let own = member.name.to_ascii_lowercase();
    // `list-type=2` is part of the path, and `s3s` has no members for the conditions of a copy.
    names.any(|name| name == own)
        || member.name == "2"
        || operation.name == "CopyObject" && ["IfMatch", "IfNoneMatch"].contains(&member.name)
}

/// `list_objects_v2` of `ListObjectsV2`.
fn snake(name: &str) -> String {
    let mut made = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !made.is_empty() {
            made.push('_');
        }
        made.push(letter.to_ascii_lowercase());
    }
    made
}

async fn services(probe: &Probe) -> Vec<Service> {
    let mut s3 = Service::new("S3");
    let source = s3_source();
    for operation in parse(include_str!("aws/s3.txt")) {
        let is_implemented = source.contains(&format!("{}({}Input) ->", snake(operation.name), operation.name));
        s3.add(&operation, is_implemented);
        if is_implemented {
            let refused = probe.refused_by_s3(&operation).await;
            for member in operation.members.iter().filter(|member| member.place.is_some()) {
                let is_heeded = reads(&source, &operation, member) || refused.contains(&member.name);
                assert!(is_heeded, "{} of {} is passed over", member.name, operation.name);
            }
            s3.implemented.last_mut().unwrap().1 = Some(refused);
        }
    }
    let mut control_plane = Service::new("SageMaker");
    for (name, input) in samples::before() {
        let operation = Operation { name, http: None, members: Vec::new() };
        probe.refused_by_sagemaker(&operation, &input).await;
    }
    for operation in parse(include_str!("aws/sagemaker.txt")) {
        let is_implemented = probe.has_target("sagemaker", "SageMaker", &operation).await;
        control_plane.add(&operation, is_implemented);
        if is_implemented && let Some(input) = samples::input(operation.name) {
            let refused = probe.refused_by_sagemaker(&operation, &input).await;
            control_plane.implemented.last_mut().unwrap().1 = Some(refused);
        }
    }
    let mut runtime = Service::new("SageMaker Runtime");
    for operation in parse(include_str!("aws/sagemaker-runtime.txt")) {
        let is_implemented = probe.has_path("sagemaker", &operation).await;
        runtime.add(&operation, is_implemented);
        if operation.name == "InvokeEndpoint" {
            runtime.implemented.last_mut().unwrap().1 = Some(probe.refused_by_runtime().await);
        }
    }
    let mut found = vec![s3, control_plane, runtime];
    for (name, service, prefix, names) in [
        ("DynamoDB", "dynamodb", "DynamoDB_20120810", include_str!("aws/dynamodb.txt")),
        ("CloudWatch Logs", "logs", "Logs_20140328", include_str!("aws/logs.txt")),
        ("SQS", "sqs", "AmazonSQS", include_str!("aws/sqs.txt")),
    ] {
        let mut made = Service::new(name);
        for operation in parse(names) {
            made.add(&operation, probe.has_target(service, prefix, &operation).await);
        }
        found.push(made);
    }
    let mut lambda = Service::new("Lambda");
    for operation in parse(include_str!("aws/lambda.txt")) {
        lambda.add(&operation, probe.has_path("lambda", &operation).await);
    }
    found.push(lambda);
    for (name, service, names) in [
        ("SNS", "sns", include_str!("aws/sns.txt")),
        ("STS", "sts", include_str!("aws/sts.txt")),
        ("IAM", "iam", include_str!("aws/iam.txt")),
    ] {
        let mut made = Service::new(name);
        for operation in parse(names) {
            made.add(&operation, probe.has_action(service, &operation).await);
        }
        found.push(made);
    }
    found
}

/// Names as code, wrapped.
fn list(names: &[&str]) -> String {
    let (mut made, mut line) = (String::new(), String::new());
    for (at, name) in names.iter().enumerate() {
        let word = format!("`{name}`{}", if at + 1 == names.len() { "." } else { "," });
        if !line.is_empty() && line.len() + word.len() + 1 > WIDTH {
            writeln!(made, "{line}").unwrap();
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &word;
    }
    made + &line
}

/// Names as code.
fn code(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn markdown(services: &[Service]) -> String {
    let mut made = String::from("\n| service | operations | members that are refused by name |\n|---|---|---|\n");
    for Service { name, implemented, .. } in services {
        let those = |refused: Option<&[&str]>| {
            let names = implemented.iter().filter(|(_, found)| found.as_deref() == refused).map(|(name, _)| *name);
            names.collect::<Vec<_>>()
        };
        for (names, said) in [(those(Some(&[])), "none"), (those(None), "not looked at")] {
            if !names.is_empty() {
                writeln!(made, "| {name} | {} | {said} |", code(&names)).unwrap();
            }
        }
        for (operation, refused) in implemented {
            if let Some(refused) = refused.as_deref().filter(|refused| !refused.is_empty()) {
                writeln!(made, "| {name} | `{operation}` | {} |", code(refused)).unwrap();
            }
        }
    }
    writeln!(made, "\n**Not implemented**:\n").unwrap();
    for service in services.iter().filter(|service| !service.missing.is_empty()) {
        let (name, count) = (service.name, service.missing.len());
        match count {
            1 => writeln!(made, "- {name}: `{}`.", service.missing[0]).unwrap(),
            ..=LISTED => {
                let names = list(&service.missing).replace('\n', "\n  ");
                writeln!(made, "- {name}, {count} operations:\n  {names}").unwrap();
            }
            _ => writeln!(made, "- {name}: every other, {count} operations.").unwrap(),
        }
    }
    writeln!(made).unwrap();
    made
}

#[tokio::test]
async fn operations() {
    let probe = Probe::start().await;
    let made = markdown(&services(&probe).await);
    probe.stop().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/local-cloud.md");
    let document = fs::read_to_string(&file).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the beginning of the table");
    let (kept, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        let command = "UPDATE_DOCS=1 cargo test --workspace --test docs operations";
        assert!(
            kept.trim() == made.trim(),
            "the table in docs/local-cloud.md is not what the cloud answers: {command}"
        );
    }
}

#[test]
fn names_of_methods_are_those_of_operations() {
    for (name, method) in
        [("ListObjectsV2", "list_objects_v2"), ("PutObject", "put_object"), ("GetBucketAcl", "get_bucket_acl")]
    {
        assert_eq!(snake(name), method);
    }
    assert_eq!(list(&["A", "B"]), "`A`, `B`.");
}
