//! The local stack: the resources of `infra/template.yaml`, for the local cloud.

pub(crate) mod local;
pub(crate) mod lost_jobs;
mod measures;
pub(crate) mod own_image;
pub(crate) mod programs;
pub(crate) mod retention;
pub(crate) mod stack_file;
#[cfg(test)]
mod template;
pub(crate) mod unheeded;
#[cfg(test)]
mod wiring;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lambda::Tenancy;
use local_cloud::{
    Authorizer, Code, Endpoint, Function, HttpRoute, Image, Parameters, Refusal, RetryPolicy, Rule, S3Integration,
    Schedule, Stack, StaticFile, Subscription, Table,
};
use pipeline::{Ages, ErrorCode, ImageType, JobError, MAX_PUT_BYTES, Owner, PortraitId, event, keys};
use serde_json::json;

use crate::escape::Shown;
use own_image::OwnImage;
use programs::BuiltIn;
use retention::StripRetention;

/// The bucket of uploads, which SageMaker reads.
const INPUT_BUCKET: &str = "portraits";
/// The bucket of results, which SageMaker writes and clients read.
const OUTPUT_BUCKET: &str = "time-traveler";
const ENDPOINT: &str = "face-aging";
/// The repository of the model server's image, as `container/build_and_push.sh` names it.
const REPOSITORY: &str = "time-traveler";
const SUCCESS_TOPIC: &str = "face-aging-success";
const ERROR_TOPIC: &str = "face-aging-error";
const DEAD_LETTERS: &str = "image-processor-dead-letters";
/// The name, in keys, of the caller whom the gateway knows by the token.
const OWNER: &str = "owner";
/// The group of tokens whose holders may name another owner.
pub(crate) const ADMIN_GROUP: &str = "admins";

const JOBS_TABLE: &str = include_str!("../../../infra/jobs-table.json");
const UPLOAD_RULE: &str = include_str!("../../../infra/upload-rule.json");

/// Variables of this process's environment that the functions get too.
const FUNCTIONS: [&str; 9] = [
    "DAILY_QUOTA",
    "IMAGE_FORMAT",
    "REQUEST_TTL_SECONDS",
    "INVOCATION_TIMEOUT_SECONDS",
    "NOTICE_SECONDS",
    "FIRST_LOOK_SECONDS",
    "DELETION_SECONDS",
    "RETENTION_DAYS",
    "UPLOAD_LENGTH",
];

/// The parts of the pipeline that the user may choose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts<'a> {
    /// The folder of the model's files; without one, the preview engine runs.
    pub(crate) model: Option<&'a Path>,
    /// The program of another model server than the built-in one.
    pub(crate) model_server: Option<&'a Path>,
    /// The folder of functions that `cargo lambda build` built, instead of the built-in ones.
    pub(crate) functions: Option<&'a Path>,
    /// Images for the jobs and endpoints that scripts create.
    pub(crate) images: &'a [OwnImage],
    /// Ages of an upload that names none.
    pub(crate) ages: Ages,
    /// After how many days the table forgets a job, whose objects are deleted then. Without it, `RETENTION_DAYS` says it.
    pub(crate) retention_days: Option<u16>,
    /// How long strips are kept.
    pub(crate) strips: StripRetention,
    /// Whose portraits are. With owners, both APIs need tokens.
    pub(crate) tenancy: Tenancy,
}

/// The stack of the whole pipeline.
///
/// # Errors
/// Where a part does not exist, or a variable of the environment has an invalid value.
pub(crate) fn stack(parts: &Parts<'_>) -> anyhow::Result<Stack> {
    let table: serde_json::Value = serde_json::from_str(JOBS_TABLE).context("infra/jobs-table.json is not JSON")?;
    let pattern = serde_json::from_str(UPLOAD_RULE).context("infra/upload-rule.json is not JSON")?;
    let table_name = table["TableName"].as_str().context("infra/jobs-table.json names no table")?.to_owned();
    let index = table["GlobalSecondaryIndexes"][0]["IndexName"].as_str();
    let index = index.context("infra/jobs-table.json names no index")?.to_owned();
    let environment = BTreeMap::from([
        ("INPUT_BUCKET", INPUT_BUCKET.to_owned()),
        ("OUTPUT_BUCKET", OUTPUT_BUCKET.to_owned()),
        ("JOBS_TABLE", table_name.clone()),
        ("JOBS_INDEX", index),
        ("ENDPOINT_NAME", ENDPOINT.to_owned()),
        ("DEFAULT_AGES", parts.ages.to_string()),
        ("TENANCY", parts.tenancy.to_string()),
        ("ADMIN_GROUP", ADMIN_GROUP.to_owned()),
    ]);
    // By default, glibc's arenas would keep the memory of many strips in each function.
    let memory = [("MALLOC_ARENA_MAX", "2".to_owned()), ("MALLOC_MMAP_THRESHOLD_", (1 << 20).to_string())];
    let set = FUNCTIONS.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    let retention = parts.retention_days.map(|days| ("RETENTION_DAYS", days.to_string()));
    let environment: BTreeMap<&str, String> =
        environment.into_iter().chain(memory).chain(set).chain(retention).collect();
    // Wrong values are reported here, where the user sees them, rather than in a function's log.
    lambda::Settings::read(|name| environment.get(name).cloned())?;
    Ok(Stack {
        buckets: vec![INPUT_BUCKET.to_owned(), OUTPUT_BUCKET.to_owned()],
        notifications: Vec::new(),
        expirations: parts.strips.expirations(),
        tables: vec![Table { create: table, time_to_live: Some("expiresAt".to_owned()) }],
        measures: vec![measures::jobs(&table_name)],
        functions: functions(parts.functions, &environment)?,
        rules: vec![Rule {
            name: "uploads".to_owned(),
            pattern,
            functions: vec![BuiltIn::ImageProcessor.name().to_owned()],
        }],
        schedules: [("sweep", Duration::from_secs(10)), (event::ORPHANS, Duration::from_secs(600))]
            .map(|(name, rate)| Schedule {
                name: name.to_owned(),
                rate,
                function: BuiltIn::ImageProcessor.name().to_owned(),
            })
            .to_vec(),
        subscriptions: [SUCCESS_TOPIC, ERROR_TOPIC]
            .map(|topic| Subscription { topic: topic.to_owned(), function: BuiltIn::ImageProcessor.name().to_owned() })
            .to_vec(),
        images: images(parts)?,
        endpoints: vec![endpoint(parts)?],
        rest_api: rest_api(&parts.ages, parts.tenancy),
        http_api: http_api(),
        authorizer: (parts.tenancy == Tenancy::Owner)
            .then(|| Authorizer { name: OWNER.to_owned(), spelling: |subject| Owner::of(subject).to_string() }),
        site: site()?,
    })
}

fn functions(folder: Option<&Path>, environment: &BTreeMap<&str, String>) -> anyhow::Result<Vec<Function>> {
    let code = |function: BuiltIn| {
        let mut program = function.program(environment.iter().map(|(name, value)| (*name, value.clone())));
        if let Some(folder) = folder {
            let bootstrap = folder.join(function.name()).join("bootstrap");
            let bootstrap =
                std::path::absolute(&bootstrap).with_context(|| format!("{} is no path", bootstrap.display()))?;
            anyhow::ensure!(
                bootstrap.is_file(),
                "the function {} is not there: `cargo lambda build --release -p lambda` leaves it in target/lambda",
                bootstrap.display()
            );
            program.arg0 = "bootstrap".into();
            program.path = bootstrap;
        }
        Ok(Code::Program(program))
    };
    Ok(vec![
        Function {
            name: BuiltIn::ImageProcessor.name().to_owned(),
            code: code(BuiltIn::ImageProcessor)?,
            timeout: Duration::from_secs(60),
            memory_size: 1769,
            concurrency: 4,
            provisioned_concurrency: 1,
            // AWS waits one minute, then two. On one machine, shorter waits do.
            retry: RetryPolicy {
                backoff: vec![Duration::from_secs(1), Duration::from_secs(5)],
                dead_letter_queue: Some(DEAD_LETTERS.to_owned()),
            },
        },
        Function {
            name: BuiltIn::JobTracker.name().to_owned(),
            code: code(BuiltIn::JobTracker)?,
            timeout: Duration::from_secs(29),
            memory_size: 256,
            // Each waiting `GET /jobs/{id}?wait=` takes one.
            concurrency: 64,
            provisioned_concurrency: 1,
            retry: RetryPolicy { backoff: Vec::new(), dead_letter_queue: None },
        },
    ])
}

/// Variables of this process's environment that the model server gets too: its settings, and CUDA's variables.
const MODEL_SERVER: [&str; 15] = [
    "BATCH_SIZE",
    "BODY_TIMEOUT",
    "DEVICE",
    "FACE_MODEL_DIR",
    "MODEL_SERVER_TIMEOUT",
    "PRECISION",
    "QUEUE_LENGTH",
    "RAYON_NUM_THREADS",
    "TS_DEFAULT_RESPONSE_TIMEOUT",
    "TS_MAX_REQUEST_SIZE",
    "TS_MAX_RESPONSE_SIZE",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "HOME",
];

fn images(parts: &Parts<'_>) -> anyhow::Result<Vec<Image>> {
    Ok([built_in_image(parts.model_server)?].into_iter().chain(own_images(parts.images)?).collect())
}

/// The images of the command line.
///
/// # Errors
/// A program is not there, or a name is given twice.
pub(crate) fn own_images(given: &[OwnImage]) -> anyhow::Result<Vec<Image>> {
    let mut images: Vec<Image> = Vec::new();
    for own in given {
        let twice = images.iter().any(|image| image.repository == own.name());
        anyhow::ensure!(!twice, "the image {} is given twice: one command would work", own.name());
        images.push(own.image()?);
    }
    Ok(images)
}

/// The image of the pipeline's model server: the built-in program, or another one.
///
/// # Errors
/// The other program is not there.
pub(crate) fn built_in_image(model_server: Option<&Path>) -> anyhow::Result<Image> {
    let variables = MODEL_SERVER.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    let mut program = BuiltIn::Serve.program(variables);
    if let Some(server) = model_server {
        anyhow::ensure!(
            server.is_file(),
            "--model-server {}: there is no such file: the path of a program would work",
            server.shown()
        );
        let server = std::path::absolute(server).with_context(|| format!("{} is no path", server.display()))?;
        program.arg0 = server.clone().into();
        program.path = server;
    }
    Ok(Image { repository: REPOSITORY.to_owned(), program, trains: model_server.is_none() })
}

fn endpoint(parts: &Parts<'_>) -> anyhow::Result<Endpoint> {
    // The checkpoint of another model does not make the pipeline's endpoint another one.
    let mut environment = BTreeMap::from([
        ("DEFAULT_AGES".to_owned(), parts.ages.to_string()),
        ("MODEL_KIND".to_owned(), "face-aging".to_owned()),
    ]);
    if let Some(folder) = parts.model {
        anyhow::ensure!(
            folder.is_dir(),
            "--model {}: there is no such folder: the folder of the model's files would work",
            folder.shown()
        );
        let folder = std::path::absolute(folder).with_context(|| format!("{} is no path", folder.display()))?;
        environment.insert("SM_MODEL_DIR".to_owned(), folder.display().to_string());
    }
    Ok(Endpoint {
        name: ENDPOINT.to_owned(),
        image: REPOSITORY.to_owned(),
        environment,
        startup_timeout: Duration::from_secs(300),
        max_concurrent_invocations_per_instance: 4,
        s3_output_path: keys::location(OUTPUT_BUCKET, keys::STRIPS),
        s3_failure_path: keys::location(OUTPUT_BUCKET, keys::FAILURES),
        success_topic: Some(SUCCESS_TOPIC.to_owned()),
        error_topic: Some(ERROR_TOPIC.to_owned()),
    })
}

fn rest_api(default_ages: &Ages, tenancy: Tenancy) -> Vec<S3Integration> {
    let portrait = match tenancy {
        Tenancy::Shared => "{id}".to_owned(),
        Tenancy::Owner => format!("{{{OWNER}}}/{{id}}"),
    };
    vec![
        S3Integration {
            method: Method::PUT,
            // Greedy, so that an id with a slash is refused as an invalid id.
            path: "/images/{id+}".to_owned(),
            bucket: INPUT_BUCKET.to_owned(),
            key: format!("{}{portrait}", keys::UPLOADS),
            metadata: vec![("ages".to_owned(), keys::AGES_METADATA.to_owned())],
            fixed_metadata: vec![(keys::DEFAULT_AGES_METADATA.to_owned(), default_ages.to_string())],
            request_metadata: Some(keys::REQUEST_METADATA.to_owned()),
            check_media_type: check_picture,
            max_body: MAX_PUT_BYTES,
            max_body_code: Some(ErrorCode::ImageTooLarge.to_string()),
            validate: validate_upload,
        },
        S3Integration {
            method: Method::GET,
            path: "/images/{id}/{revision}/{file}".to_owned(),
            bucket: OUTPUT_BUCKET.to_owned(),
            key: format!("{}{portrait}/{{revision}}/{{file}}", keys::IMAGES),
            metadata: Vec::new(),
            fixed_metadata: Vec::new(),
            request_metadata: None,
            check_media_type: |_| Ok(()),
            max_body: 0,
            max_body_code: None,
            validate: validate_id,
        },
    ]
}

fn http_api() -> Vec<HttpRoute> {
    let route = |method, path: &str| HttpRoute {
        redacts: (method == Method::DELETE).then(|| "id".to_owned()),
        method,
        path: path.to_owned(),
        function: BuiltIn::JobTracker.name().to_owned(),
    };
    vec![
        route(Method::GET, "/jobs"),
        route(Method::GET, "/jobs/{id}"),
        route(Method::DELETE, "/jobs/{id}"),
        route(Method::POST, "/uploads/{id}"),
    ]
}

/// The page's files, with its security headers.
fn site() -> anyhow::Result<Vec<StaticFile>> {
    let file = |file: &web::File| StaticFile {
        path: format!("/{}", file.name),
        headers: [("content-type", file.media_type)]
            .iter()
            .chain(file.headers())
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect(),
        body: Bytes::from_static(file.body),
    };
    let mut files: Vec<StaticFile> = web::FILES.iter().chain(&web::PICTURES).map(file).collect();
    // With the style inside, the page is shown after one request.
    let (page, policy) = web::with_style_inside();
    let mut first = StaticFile { path: "/".to_owned(), body: page.into(), ..files[0].clone() };
    first.headers.insert(header::CONTENT_SECURITY_POLICY, policy.try_into().context("the page's policy is no header")?);
    files[0] = first;
    Ok(files)
}

fn validate_id(parameters: &Parameters) -> Result<(), Refusal> {
    let id = parameters.path.get("id").map(String::as_str).unwrap_or_default();
    match id.parse::<PortraitId>() {
        Ok(_) => Ok(()),
        Err(error) => {
            let body = json!({"code": "INVALID_ID", "message": error.to_string()});
            Err(Refusal { status: StatusCode::BAD_REQUEST, body })
        }
    }
}

fn validate_upload(parameters: &Parameters) -> Result<(), Refusal> {
    validate_id(parameters)?;
    match parameters.query.get("ages").map(|ages| ages.parse::<Ages>()) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(error)) => {
            let body = json!(JobError::new(ErrorCode::InvalidAges, error.to_string()));
            Err(Refusal { status: StatusCode::BAD_REQUEST, body })
        }
    }
}

fn check_picture(media_type: &str) -> Result<(), Refusal> {
    ImageType::check_content_type(media_type).map_err(|error| {
        let body = json!(JobError::new(ErrorCode::UnsupportedImage, error.to_string()));
        Refusal { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, body }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_follows_from_the_parts() {
        let days = |stack: &Stack| match &stack.functions[0].code {
            Code::Program(program) => program.environment.get("RETENTION_DAYS").cloned(),
            Code::InProcess(_) => None,
        };
        let default = stack(&Parts::default()).unwrap();
        assert_eq!((default.expirations[0].after.as_secs(), days(&default)), (86_400, None));
        let parts = Parts { retention_days: Some(7), strips: StripRetention::Job, ..Parts::default() };
        let other = stack(&parts).unwrap();
        assert_eq!((other.expirations.len(), days(&other).as_deref()), (0, Some("7")));
    }

    #[test]
    fn the_parts_have_to_exist() {
        let gone = Some(Path::new("/nonexistent"));
        for (parts, named) in [
            (Parts { model: gone, ..Parts::default() }, "--model /nonexistent: there is no such folder: "),
            (Parts { model_server: gone, ..Parts::default() }, "--model-server /nonexistent: there is no such file: "),
            (
                Parts { functions: gone, ..Parts::default() },
                "the function /nonexistent/image-processor/bootstrap is not",
            ),
        ] {
            let error = stack(&parts).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
