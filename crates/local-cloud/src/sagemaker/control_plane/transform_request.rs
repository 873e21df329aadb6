//! Reads the request of a transform job.

use serde_json::{Value, json};

use super::request::{ApiError, Members};
use crate::sagemaker::jobs::Path;
use crate::sagemaker::records::{BadRecords, Format, Processing, Source, Split, Tag, TransformSpec};

/// The tag by which a job leaves bad records out.
const BAD_RECORDS: &str = "local-cloud:bad-records";
/// SageMaker's largest payload, and the most that all concurrent requests may hold, in MB.
const LARGEST: u64 = 100;
/// The longest filter.
const LONGEST_FILTER: usize = 63;
/// The most variables of a job.
const MOST_VARIABLES: usize = 16;
/// The most characters of the name and of the value of a variable.
const LONGEST_VARIABLE: (usize, usize) = (1024, 10_240);

/// A request that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) model: String,
    pub(super) spec: TransformSpec,
    /// The request as a description shows it.
    pub(super) shown: Value,
    pub(super) tags: Vec<Tag>,
}

pub(super) fn read(mut request: Members) -> Result<Read, ApiError> {
    let tags = request.tags("Tags")?;
    let mut shown = request.shown();
    let name = request.name("TransformJobName")?;
    let model = request.name("ModelName")?;
    let input = request.structure("TransformInput")?;
    let mut input = request.required("TransformInput", input)?;
    let (source, uri) = data_source(&mut input)?;
    let content_type = input.text("ContentType", 256)?;
    let gzip = input.one_of("CompressionType", &["None", "Gzip"])? == Some("Gzip");
    let split = match input.one_of("SplitType", &["None", "Line", "RecordIO", "TFRecord"])? {
        Some("Line") => Split::Line,
        Some("RecordIO") => Split::RecordIO,
        Some("TFRecord") => Split::TFRecord,
        _ => Split::None,
    };
    input.done()?;
    let output = request.structure("TransformOutput")?;
    let mut output = request.required("TransformOutput", output)?;
    let path = output.text("S3OutputPath", 1024)?;
    let path = output.required("S3OutputPath", path)?;
    if !is_location(&path) {
        return Err(output.invalid("S3OutputPath", &json!(path), "it must be s3://bucket or s3://bucket/prefix here"));
    }
    let accept = output.text("Accept", 256)?;
    let lines = output.one_of("AssembleWith", &["None", "Line"])? == Some("Line");
    output.ignore(&["KmsKeyId"]);
    output.done()?;
    check_resources(&mut request)?;
    let strategy = request.one_of("BatchStrategy", &["MultiRecord", "SingleRecord"])?;
    let max_payload_in_mb = request.integer("MaxPayloadInMB", 0..=LARGEST)?;
    // 0 asks for the container's own number.
    let max_concurrent_transforms = request.integer("MaxConcurrentTransforms", 0..=LARGEST)?.filter(|most| *most > 0);
    if max_concurrent_transforms.unwrap_or(1) * max_payload_in_mb.unwrap_or(1) > LARGEST {
        return Err(ApiError::validation(format!(
            "MaxConcurrentTransforms * MaxPayloadInMB must not be larger than {LARGEST} MB."
        )));
    }
    let (mut timeout_seconds, mut max_retries) = (600, 3);
    if let Some(mut client) = request.structure("ModelClientConfig")? {
        timeout_seconds = client.integer("InvocationsTimeoutInSeconds", 1..=3600)?.unwrap_or(timeout_seconds);
        max_retries = client.integer("InvocationsMaxRetries", 0..=3)?.unwrap_or(max_retries);
        client.done()?;
    }
    let formats = (format(content_type.as_deref()), format(accept.as_deref()));
    let processing = match request.structure("DataProcessing")? {
        None => None,
        Some(processing) => read_processing(processing, formats, split == Split::Line && lines)?,
    };
    let environment = request.environment("Environment", LONGEST_VARIABLE)?;
    if environment.len() > MOST_VARIABLES {
        let constraint = format!("Member must have length less than or equal to {MOST_VARIABLES}");
        return Err(request.invalid("Environment", &json!(environment), &constraint));
    }
    // They have no effect here, and are shown as they are.
    request.ignore(&["DataCaptureConfig", "ExperimentConfig"]);
    request.done()?;
    complete(&mut shown);
    let spec = TransformSpec {
        source,
        input: uri,
        gzip,
        split,
        content_type,
        output: path,
        accept,
        lines,
        multi_record: strategy.map(|strategy| strategy == "MultiRecord"),
        max_payload_in_mb,
        max_concurrent_transforms,
        timeout_seconds,
        max_retries: u32::try_from(max_retries).unwrap_or(3),
        processing,
        environment,
        bad_records: bad_records(&tags)?,
    };
    Ok(Read { name, model, spec, shown, tags })
}

/// Whether a text is `s3://bucket` or `s3://bucket/prefix`.
fn is_location(uri: &str) -> bool {
    uri.strip_prefix("s3://").is_some_and(|path| !path.is_empty() && !path.starts_with('/'))
}

fn data_source(input: &mut Members) -> Result<(Source, String), ApiError> {
    let source = input.structure("DataSource")?;
    let mut source = input.required("DataSource", source)?;
    let data = source.structure("S3DataSource")?;
    let mut data = source.required("S3DataSource", data)?;
    source.done()?;
    let kind = data.one_of("S3DataType", &["S3Prefix", "ManifestFile", "AugmentedManifestFile"])?;
    let kind = match data.required("S3DataType", kind)? {
        "ManifestFile" => Source::ManifestFile,
        "AugmentedManifestFile" => Source::AugmentedManifestFile,
        _ => Source::S3Prefix,
    };
    let uri = data.text("S3Uri", 1024)?;
    let uri = data.required("S3Uri", uri)?;
    if !is_location(&uri) {
        return Err(data.invalid("S3Uri", &json!(uri), "it must be s3://bucket/prefix here"));
    }
    data.done()?;
    Ok((kind, uri))
}

/// Checks what a job runs on. It is this machine, whatever the request says.
fn check_resources(request: &mut Members) -> Result<(), ApiError> {
    let resources = request.structure("TransformResources")?;
    let mut resources = request.required("TransformResources", resources)?;
    let instance = resources.text("InstanceType", 63)?;
    resources.required("InstanceType", instance)?;
    let count = resources.integer("InstanceCount", 1..=u64::from(u32::MAX))?;
    resources.required("InstanceCount", count)?;
    resources.ignore(&["VolumeKmsKeyId", "TransformAmiVersion"]);
    resources.done()
}

fn format(media_type: Option<&str>) -> Option<Format> {
    match media_type?.split(';').next()?.trim() {
        "text/csv" => Some(Format::Csv),
        "application/json" => Some(Format::Json),
        "application/jsonlines" => Some(Format::JsonLines),
        _ => None,
    }
}

/// The filters, unless they change nothing. `by_line`: records are split and assembled by lines.
fn read_processing(
    mut processing: Members,
    formats: (Option<Format>, Option<Format>),
    by_line: bool,
) -> Result<Option<Processing>, ApiError> {
    let mut paths = Vec::new();
    for name in ["InputFilter", "OutputFilter"] {
        let text = processing.text(name, LONGEST_FILTER)?.unwrap_or_else(|| "$".to_owned());
        let path: Path = text.parse().map_err(|error| processing.invalid(name, &json!(text), &format!("{error}")))?;
        paths.push((name, text, path));
    }
    let join = processing.one_of("JoinSource", &["None", "Input"])? == Some("Input");
    if !join && paths.iter().all(|(_, text, _)| text == "$") {
        processing.done()?;
        return Ok(None);
    }
    let (Some(input), Some(output)) = formats else {
        return Err(ApiError::validation(
            "DataProcessing needs a ContentType and an Accept out of text/csv, application/json and application/jsonlines.",
        ));
    };
    if !by_line && [input, output].iter().any(|format| *format != Format::Json) {
        return Err(ApiError::validation(
            "DataProcessing of text/csv and application/jsonlines needs SplitType Line and AssembleWith Line.",
        ));
    }
    if join && (input == Format::Csv) != (output == Format::Csv) {
        return Err(ApiError::validation("JoinSource Input needs a ContentType and an Accept of one format."));
    }
    for ((name, text, path), format) in paths.iter().zip([input, output]) {
        if format == Format::Csv && !path.suits_rows() {
            return Err(processing.invalid(
                name,
                &json!(text),
                "a row of text/csv has elements only, such as $[0] or $[1:]",
            ));
        }
    }
    processing.done()?;
    let mut texts = paths.into_iter().map(|(_, text, _)| text);
    let (input_filter, output_filter) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    Ok(Some(Processing { input, output, input_filter, output_filter, join }))
}

fn bad_records(tags: &[Tag]) -> Result<BadRecords, ApiError> {
    match tags.iter().find(|tag| tag.key == BAD_RECORDS).map(|tag| tag.value.as_str()) {
        None => Ok(BadRecords::Fail),
        Some("skip") => Ok(BadRecords::Skip),
        Some("resume") => Ok(BadRecords::Resume),
        Some(other) => {
            Err(ApiError::validation(format!("The tag {BAD_RECORDS} is {other:?}: \"skip\" and \"resume\" work.")))
        }
    }
}

/// Gives the request the members that SDKs expect in every description.
fn complete(shown: &mut Value) {
    for (path, name, value) in [
        ("/TransformInput", "CompressionType", "None"),
        ("/TransformInput", "SplitType", "None"),
        ("/TransformOutput", "AssembleWith", "None"),
        ("/TransformOutput", "KmsKeyId", ""),
    ] {
        if let Some(structure) = shown.pointer_mut(path)
            && structure[name].is_null()
        {
            structure[name] = json!(value);
        }
    }
    if shown["DataProcessing"].is_null() {
        shown["DataProcessing"] = json!({"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &[(&str, Value)]) -> Value {
        let mut request = json!({
            "TransformJobName": "j", "ModelName": "m",
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/in"}},
                "ContentType": "text/csv", "SplitType": "Line",
            },
            "TransformOutput": {"S3OutputPath": "s3://b/out", "Accept": "text/csv", "AssembleWith": "Line"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
        });
        for (path, value) in changes {
            let (parent, name) = path.rsplit_once('/').unwrap();
            request.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        request
    }

    fn read_it(changes: &[(&str, Value)]) -> Result<Read, String> {
        let members = Members::parse(request(changes).to_string().as_bytes()).unwrap();
        read(members).map_err(|error| error.to_string())
    }

    #[test]
    fn a_job_is_described_as_it_was_created_with_defaults() {
        let found = read_it(&[]).unwrap();
        assert_eq!((found.spec.timeout_seconds, found.spec.max_retries, found.spec.multi_record), (600, 3, None));
        assert_eq!(found.shown["TransformInput"]["CompressionType"], "None");
        assert_eq!(found.shown["DataProcessing"]["OutputFilter"], "$");
        assert!(found.shown.get("Tags").is_none());
        let filtered = json!({"InputFilter": "$[1:]", "JoinSource": "Input"});
        let processing = read_it(&[("/DataProcessing", filtered)]).unwrap().spec.processing.unwrap();
        assert_eq!(
            (processing.input_filter.as_str(), processing.output_filter.as_str(), processing.join),
            ("$[1:]", "$", true)
        );
        let same = json!({"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"});
        assert_eq!(read_it(&[("/DataProcessing", same)]).unwrap().spec.processing, None);
        let resume = json!([{"Key": "local-cloud:bad-records", "Value": "resume"}]);
        assert_eq!(read_it(&[("/Tags", resume)]).unwrap().spec.bad_records, BadRecords::Resume);
    }

    #[test]
    fn what_sagemaker_refuses_is_refused_by_name() {
        let source = "/TransformInput/DataSource/S3DataSource";
        for (changes, named) in [
            (vec![("/TransformJobName", json!("a_b"))], "transformJobName"),
            (vec![("/ModelName", Value::Null)], "modelName"),
            (vec![("/TransformInput", Value::Null)], "transformInput"),
            (vec![(&*format!("{source}/S3DataType"), json!("S3Object"))], "dataSource.s3DataSource.s3DataType"),
            (vec![(&*format!("{source}/S3Uri"), json!("/tmp"))], "s3Uri"),
            (vec![("/TransformInput/SplitType", json!("Word"))], "transformInput.splitType"),
            (vec![("/TransformInput/Rows", json!(1))], "transformInput.rows is not supported"),
            (vec![("/TransformOutput/S3OutputPath", json!("s3:///x"))], "s3OutputPath"),
            (vec![("/TransformResources/InstanceCount", json!(0))], "instanceCount"),
            (vec![("/MaxPayloadInMB", json!(101))], "maxPayloadInMB"),
            (vec![("/MaxPayloadInMB", json!(20)), ("/MaxConcurrentTransforms", json!(6))], "larger than 100 MB"),
            (vec![("/ModelClientConfig", json!({"InvocationsMaxRetries": 4}))], "invocationsMaxRetries"),
            (vec![("/DataProcessing", json!({"InputFilter": "$.a"}))], "has elements only"),
            (vec![("/DataProcessing", json!({"InputFilter": "a"}))], "is not a filter"),
            (
                vec![
                    ("/DataProcessing", json!({"JoinSource": "Input"})),
                    ("/TransformOutput/AssembleWith", json!("None")),
                ],
                "needs SplitType Line and AssembleWith Line",
            ),
            (
                vec![
                    ("/DataProcessing", json!({"JoinSource": "Input"})),
                    ("/TransformOutput/Accept", json!("image/png")),
                ],
                "needs a ContentType and an Accept",
            ),
            (
                vec![
                    ("/DataProcessing", json!({"JoinSource": "Input"})),
                    ("/TransformOutput/Accept", json!("application/jsonlines")),
                ],
                "of one format",
            ),
            (vec![("/Environment", json!({"A": "x".repeat(10_241)}))], "environment"),
            (
                vec![("/Tags", json!([{"Key": "local-cloud:bad-records", "Value": "keep"}]))],
                "\"skip\" and \"resume\" work",
            ),
        ] {
            let words = read_it(&changes).unwrap_err();
            assert!(words.contains(named), "{changes:?}: {words}");
        }
    }
}
