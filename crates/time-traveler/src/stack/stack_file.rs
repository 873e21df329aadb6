//! A file of resources of the user's own, in TOML: images, endpoints, buckets and tables.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use local_cloud::{Endpoint, Image, Stack, Table, find_image};
use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

use super::own_image::OwnImage;
use crate::launcher::default_bucket;

/// The resources of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    #[serde(default)]
    buckets: Vec<Spanned<String>>,
    #[serde(default)]
    images: Vec<DeclaredImage>,
    #[serde(default)]
    endpoints: Vec<DeclaredEndpoint>,
    #[serde(default)]
    tables: Vec<DeclaredTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredImage {
    name: Spanned<String>,
    /// As a shell would split it.
    command: Spanned<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredEndpoint {
    name: Spanned<String>,
    image: Spanned<String>,
    /// The folder of the model's files.
    model: Option<Spanned<PathBuf>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// Where asynchronous answers go.
    output_path: Option<Spanned<String>>,
    failure_path: Option<Spanned<String>>,
    max_concurrent_invocations: Option<Spanned<u32>>,
    startup_seconds: Option<Spanned<u64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredTable {
    name: Spanned<String>,
    partition_key: Spanned<String>,
    sort_key: Option<Spanned<String>>,
    time_to_live: Option<String>,
}

/// The text of a file, for the line of a mistake.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// What is wrong with a value: the file, its line, the key, and the reason.
    fn wrong<T>(&self, key: &str, value: &Spanned<T>, reason: impl Display) -> anyhow::Error {
        let before = self.text.get(..value.span().start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("{}:{line}: {key}: {reason}", self.path.display())
    }
}

/// Adds the resources of a file to a stack. Relative paths in it are relative to its folder.
///
/// # Errors
/// The file cannot be read, or a value is not right: the message has its line and its key.
pub(crate) fn add(path: &Path, stack: &mut Stack) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("--stack {} cannot be read", path.display()))?;
    let declared: Declared = toml::from_str(&text).with_context(|| format!("--stack {}", path.display()))?;
    let folder = std::path::absolute(path)?;
    let folder = folder.parent().unwrap_or(Path::new("/"));
    let source = Source { path, text: &text };
    for bucket in &declared.buckets {
        check_bucket(bucket.get_ref()).map_err(|reason| source.wrong("buckets", bucket, reason))?;
        add_bucket(stack, bucket.get_ref());
    }
    for image in &declared.images {
        let made = image_of(&source, image, folder)?;
        if stack.images.iter().any(|other| other.repository == made.repository) {
            return Err(source.wrong("images.name", &image.name, format!("{} is declared twice", made.repository)));
        }
        stack.images.push(made);
    }
    for table in &declared.tables {
        stack.tables.push(table_of(&source, table)?);
    }
    for endpoint in &declared.endpoints {
        let made = endpoint_of(&source, endpoint, &stack.images, folder)?;
        if stack.endpoints.iter().any(|other| other.name.eq_ignore_ascii_case(&made.name)) {
            return Err(source.wrong("endpoints.name", &endpoint.name, format!("{} is declared twice", made.name)));
        }
        for location in [&made.s3_output_path, &made.s3_failure_path] {
            if let Some(bucket) = bucket_of(location) {
                add_bucket(stack, bucket);
            }
        }
        stack.endpoints.push(made);
    }
    Ok(())
}

fn add_bucket(stack: &mut Stack, name: &str) {
    if !stack.buckets.iter().any(|bucket| bucket == name) {
        stack.buckets.push(name.to_owned());
    }
}

/// S3's rule for names, as far as it does not concern addresses.
fn check_bucket(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    if (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(allowed)
        && ends(bytes.first())
        && ends(bytes.last())
    {
        return Ok(());
    }
    Err(format!("{name:?} is no bucket's name: 3 to 63 small letters, digits, `-` and `.` would work"))
}

fn bucket_of(location: &str) -> Option<&str> {
    location.strip_prefix("s3://")?.split('/').next()
}

fn image_of(source: &Source<'_>, declared: &DeclaredImage, folder: &Path) -> anyhow::Result<Image> {
    let (name, command) = (declared.name.get_ref(), declared.command.get_ref());
    OwnImage::check_name(name).map_err(|reason| source.wrong("images.name", &declared.name, reason))?;
    let image =
        OwnImage::new(name, command).map_err(|reason| source.wrong("images.command", &declared.command, reason))?;
    let made =
        image.image_in(folder).map_err(|error| source.wrong("images.command", &declared.command, format!("{error:#}")));
    let mut made = made?;
    made.program.environment.extend(declared.environment.clone());
    Ok(made)
}

fn endpoint_of(
    source: &Source<'_>,
    declared: &DeclaredEndpoint,
    images: &[Image],
    folder: &Path,
) -> anyhow::Result<Endpoint> {
    let name = declared.name.get_ref();
    let image = declared.image.get_ref();
    find_image(images, image).map_err(|reason| source.wrong("endpoints.image", &declared.image, reason))?;
    let mut environment = declared.environment.clone();
    if let Some(model) = &declared.model {
        let files = folder.join(model.get_ref());
        if !files.is_dir() {
            return Err(source.wrong("endpoints.model", model, format!("the folder {} is not there", files.display())));
        }
        environment.insert("SM_MODEL_DIR".to_owned(), files.display().to_string());
    }
    let location = |key: &str, declared: &Option<Spanned<String>>, default: &str| -> anyhow::Result<String> {
        let Some(location) = declared else { return Ok(format!("s3://{}/{name}/{default}", default_bucket())) };
        let text = location.get_ref().trim_end_matches('/');
        let bucket = bucket_of(text).ok_or_else(|| format!("{text:?} is not s3://BUCKET/PREFIX"));
        bucket.and_then(check_bucket).map_err(|reason| source.wrong(key, location, reason))?;
        Ok(text.to_owned())
    };
    let output = location("endpoints.output_path", &declared.output_path, "output")?;
    let failure = location("endpoints.failure_path", &declared.failure_path, "failure")?;
    let most = match &declared.max_concurrent_invocations {
        None => 4,
        Some(most) if (1..=1000).contains(most.get_ref()) => *most.get_ref(),
        Some(most) => {
            let reason = format!("{} is not between 1 and 1000", most.get_ref());
            return Err(source.wrong("endpoints.max_concurrent_invocations", most, reason));
        }
    };
    let startup = match &declared.startup_seconds {
        None => 300,
        Some(seconds) if (1..=3600).contains(seconds.get_ref()) => *seconds.get_ref(),
        Some(seconds) => {
            let reason = format!("{} is not between 1 and 3600", seconds.get_ref());
            return Err(source.wrong("endpoints.startup_seconds", seconds, reason));
        }
    };
    Ok(Endpoint {
        name: name.clone(),
        image: image.clone(),
        environment,
        startup_timeout: Duration::from_secs(startup),
        max_concurrent_invocations_per_instance: usize::try_from(most)?,
        s3_output_path: output,
        s3_failure_path: failure,
        success_topic: None,
        error_topic: None,
    })
}

/// A table of DynamoDB. A key is its attribute's name and type, `id:S`.
fn table_of(source: &Source<'_>, declared: &DeclaredTable) -> anyhow::Result<Table> {
    let mut attributes = Vec::new();
    let mut schema = Vec::new();
    let keys = [
        ("tables.partition_key", Some(&declared.partition_key), "HASH"),
        ("tables.sort_key", declared.sort_key.as_ref(), "RANGE"),
    ];
    for (key, value, kind) in keys {
        let Some(value) = value else { continue };
        let (attribute, data_type) = value.get_ref().rsplit_once(':').unwrap_or((value.get_ref(), "S"));
        if attribute.is_empty() || !["S", "N", "B"].contains(&data_type) {
            let reason = format!("{:?} is no key: NAME:S, NAME:N or NAME:B would work", value.get_ref());
            return Err(source.wrong(key, value, reason));
        }
        attributes.push(json!({"AttributeName": attribute, "AttributeType": data_type}));
        schema.push(json!({"AttributeName": attribute, "KeyType": kind}));
    }
    let name = declared.name.get_ref();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(3..=255).contains(&name.len()) || !name.bytes().all(allowed) {
        let reason = format!("{name:?} is no table's name: 3 to 255 letters, digits, `-`, `_` and `.` would work");
        return Err(source.wrong("tables.name", &declared.name, reason));
    }
    Ok(Table {
        create: json!({
            "TableName": name, "AttributeDefinitions": attributes, "KeySchema": schema, "BillingMode": "PAY_PER_REQUEST",
        }),
        time_to_live: declared.time_to_live.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "stack.toml";

    fn read(text: &str) -> Result<Stack, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server"), "").unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, text).unwrap();
        let mut stack = Stack::default();
        let added = add(&path, &mut stack);
        added.map_err(|error| format!("{error:#}").replace(&format!("{}/", folder.path().display()), ""))?;
        Ok(stack)
    }

    const IMAGE: &str = "[[images]]\nname = \"m\"\ncommand = \"sh server\"\n";

    #[test]
    fn the_example_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/stack.toml");
        let mut stack = Stack::default();
        add(&path, &mut stack).unwrap();
        assert_eq!(stack.buckets, ["measurements"]);
        let names: Vec<&str> = stack.images.iter().map(|image| image.repository.as_str()).collect();
        assert_eq!((names.as_slice(), stack.endpoints[0].name.as_str()), (&["line", "upper"][..], "capitals"));
        assert_eq!(stack.images[0].program.environment["OMP_NUM_THREADS"], "1");
        let script = Path::new(&stack.images[0].program.arguments[0]);
        assert!(script.is_absolute() && script.ends_with("own_image/line.py"), "relative to the file's folder");
        assert_eq!(stack.tables[0].create["KeySchema"][1], json!({"AttributeName": "step", "KeyType": "RANGE"}));
    }

    #[test]
    fn defaults_are_filled_in() {
        let stack = read(&format!("{IMAGE}[[endpoints]]\nname = \"e\"\nimage = \"m\"\n")).unwrap();
        assert_eq!(stack.endpoints[0].s3_output_path, "s3://sagemaker-us-east-1-000000000000/e/output");
        assert_eq!(stack.buckets, ["sagemaker-us-east-1-000000000000"]);
        assert_eq!(read("").unwrap().buckets.len(), 0);
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_its_key() {
        let endpoint = |more: &str| format!("{IMAGE}\n[[endpoints]]\nname = \"e\"\nimage = \"m\"\n{more}\n");
        for (text, words) in [
            ("buckets = [\n \"good\",\n \"Bad\"]".to_owned(), "stack.toml:3: buckets: \"Bad\" is no bucket's name"),
            ("bucket = []".to_owned(), "line 1"),
            ("\nbuckets = 3".to_owned(), "line 2"),
            ("a = [".to_owned(), "line 1"),
            ("[[images]]\nname = \"m\"".to_owned(), "missing field `command`"),
            ("[[images]]\nname = \"a/b\"\ncommand = \"sh\"".to_owned(), "stack.toml:2: images.name: \"a/b\""),
            (
                "[[images]]\nname = \"a\"\ncommand = \"nope-x\"".to_owned(),
                "stack.toml:3: images.command: the image a cannot run",
            ),
            (format!("{IMAGE}{IMAGE}"), "stack.toml:5: images.name: m is declared twice"),
            (endpoint("name2 = 1"), "unknown field `name2`"),
            (endpoint("model = \"gone\""), "stack.toml:8: endpoints.model: the folder gone is not there"),
            (endpoint("output_path = \"x\""), "stack.toml:8: endpoints.output_path: \"x\" is not s3://BUCKET/PREFIX"),
            (endpoint("startup_seconds = 0"), "stack.toml:8: endpoints.startup_seconds: 0 is not between 1 and 3600"),
            (endpoint("max_concurrent_invocations = 1001"), "stack.toml:8: endpoints.max_concurrent_invocations: 1001"),
            (
                "[[endpoints]]\nname = \"e\"\nimage = \"m\"".to_owned(),
                "stack.toml:3: endpoints.image: The image \"m\" does not",
            ),
            ("[[tables]]\nname = \"t\"\npartition_key = \"id\"".to_owned(), "stack.toml:2: tables.name: \"t\""),
            (
                "[[tables]]\nname = \"abc\"\npartition_key = \"id:X\"".to_owned(),
                "stack.toml:3: tables.partition_key: \"id:X\"",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
