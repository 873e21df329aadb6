//! The objects of a job, and where the output of each goes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::s3::{ListQuery, ObjectStore, StoreError, split_prefix, split_uri};
use crate::sagemaker::records::{ObjectStatus, Source, TransformObject, TransformSpec};

/// The keys of a page of a listing.
const PAGE: usize = 1000;

/// Why a job has no objects. Each is the caller's fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("No S3 objects found under S3 URL \"{0}\" given in input data source")]
    None(String),
    #[error("the manifest {0} is not a list of a prefix and keys: [{{\"prefix\": \"s3://bucket/folder/\"}}, \"key\"]")]
    Manifest(String),
    #[error("line {line} of the augmented manifest {manifest} has no \"source-ref\" with s3://bucket/key")]
    Augmented { manifest: String, line: usize },
    #[error("{first} and {second} would have the same output {output}")]
    Same { first: String, second: String, output: String },
    #[error("the input {uri} cannot be read")]
    Store {
        uri: String,
        #[source]
        source: StoreError,
    },
}

/// The key of an output below the output path.
pub(super) fn output_key(spec: &TransformSpec, name: &str) -> String {
    let prefix = split_prefix(&spec.output).1.trim_end_matches('/');
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// The objects of a job, in the order of a listing or a manifest.
pub(super) async fn list(spec: &TransformSpec, store: &ObjectStore) -> Result<Vec<TransformObject>, InputError> {
    let uri = &spec.input;
    let failed = |source| InputError::Store { uri: uri.clone(), source };
    // Bucket, key, and path below the input's prefix.
    let found: Vec<(String, String, String)> = match spec.source {
        Source::S3Prefix => {
            let (bucket, prefix) = split_prefix(uri);
            let keys = keys(store, bucket, prefix).map_err(failed)?;
            keys.into_iter().map(|key| (bucket.to_owned(), key.clone(), below(prefix, &key).to_owned())).collect()
        }
        Source::ManifestFile => manifest(uri, &read(uri, store).await.map_err(failed)?)?,
        Source::AugmentedManifestFile => augmented(uri, &read(uri, store).await.map_err(failed)?)?,
    };
    if found.is_empty() {
        return Err(InputError::None(uri.clone()));
    }
    let mut outputs: BTreeMap<String, String> = BTreeMap::new();
    let mut objects = Vec::with_capacity(found.len());
    for (number, (bucket, key, below)) in (0..).zip(found) {
        let output = output_key(spec, &format!("{below}.out"));
        let this = format!("s3://{bucket}/{key}");
        if let Some(first) = outputs.insert(output.clone(), this.clone()) {
            return Err(InputError::Same { first, second: this, output });
        }
        // A manifest may name an object that does not exist: it fails alone.
        let etag = store.head(&bucket, &key).map(|object| object.etag).unwrap_or_default();
        objects.push(TransformObject {
            number,
            bucket,
            key,
            etag,
            output,
            status: ObjectStatus::Left,
            answered: 0,
            failed: 0,
        });
    }
    Ok(objects)
}

/// All keys under a prefix. Those that end with a slash are folders.
fn keys(store: &ObjectStore, bucket: &str, prefix: &str) -> Result<Vec<String>, StoreError> {
    let (mut keys, mut after) = (Vec::new(), String::new());
    loop {
        let query = ListQuery { prefix, after: &after, max_keys: PAGE, ..ListQuery::default() };
        let page = store.list(bucket, &query)?;
        keys.extend(page.objects.into_iter().map(|object| object.key).filter(|key| !key.ends_with('/')));
        match page.next {
            Some(next) => after = next,
            None => return Ok(keys),
        }
    }
}

/// The path of a key below a prefix, which is a folder, a whole key or the beginning of names.
fn below<'a>(prefix: &str, key: &'a str) -> &'a str {
    let folder = if key != prefix && key[prefix.len()..].starts_with('/') {
        prefix.len() + 1
    } else {
        prefix.rfind('/').map_or(0, |slash| slash + 1)
    };
    &key[folder..]
}

fn manifest(uri: &str, text: &[u8]) -> Result<Vec<(String, String, String)>, InputError> {
    let bad = || InputError::Manifest(uri.to_owned());
    let entries: Vec<Value> = serde_json::from_slice(text).map_err(|_| bad())?;
    let (first, names) = entries.split_first().ok_or_else(bad)?;
    let (bucket, prefix) =
        first["prefix"].as_str().filter(|uri| uri.starts_with("s3://")).map(split_prefix).ok_or_else(bad)?;
    let entry = |name: &Value| {
        let name = name.as_str().ok_or_else(bad)?;
        Ok((bucket.to_owned(), format!("{prefix}{name}"), name.trim_start_matches('/').to_owned()))
    };
    names.iter().map(entry).collect()
}

/// Each line names an object. Its output has the whole key's name, since there is no prefix.
fn augmented(uri: &str, text: &[u8]) -> Result<Vec<(String, String, String)>, InputError> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let entry = |(number, line): (usize, &str)| {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        let found = value["source-ref"].as_str().and_then(split_uri);
        let found = found.map(|(bucket, key)| (bucket.to_owned(), key.to_owned(), key.to_owned()));
        found.ok_or_else(|| InputError::Augmented { manifest: uri.to_owned(), line: number + 1 })
    };
    lines.map(entry).collect()
}

async fn read(uri: &str, store: &ObjectStore) -> Result<bytes::Bytes, StoreError> {
    let (bucket, key) = split_uri(uri).ok_or_else(|| StoreError::NoSuchKey(uri.to_owned()))?;
    Ok(store.read(bucket, key).await?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_named_by_the_path_below_the_prefix() {
        for (prefix, key, expected) in [
            ("in/", "in/deep/b.csv", "deep/b.csv"),
            ("in", "in/deep/b.csv", "deep/b.csv"),
            ("in", "in2/b.csv", "in2/b.csv"),
            ("in/a.csv", "in/a.csv", "a.csv"),
            ("data/tr", "data/train.csv", "train.csv"),
            ("", "a/b.csv", "a/b.csv"),
        ] {
            assert_eq!(below(prefix, key), expected, "{prefix} {key}");
        }
    }

    #[test]
    fn manifests_name_objects() {
        let found = manifest("m", br#"[{"prefix": "s3://b/p/"}, "x/1.csv", "2.csv"]"#).unwrap();
        assert_eq!(found[0], ("b".to_owned(), "p/x/1.csv".to_owned(), "x/1.csv".to_owned()));
        assert_eq!(found.len(), 2);
        for bad in ["", "[]", "{}", r#"["x"]"#, r#"[{"prefix": "b"}, "x"]"#, r#"[{"prefix": "s3://b"}, 1]"#] {
            assert!(manifest("m", bad.as_bytes()).is_err(), "{bad}");
        }
        let lines = "{\"source-ref\": \"s3://b/p/1.jpg\", \"job\": 1}\n\n{\"source-ref\": \"s3://c/2.jpg\"}\n";
        let found = augmented("m", lines.as_bytes()).unwrap();
        assert_eq!((found[0].2.as_str(), found[1].0.as_str()), ("p/1.jpg", "c"));
        let words = augmented("m", b"{\"source-ref\": \"s3://b/1\"}\n{}").unwrap_err().to_string();
        assert!(words.starts_with("line 2 of the augmented manifest m"), "{words}");
    }
}
