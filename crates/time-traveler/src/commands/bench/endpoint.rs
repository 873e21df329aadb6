//! `bench endpoint`: how long an endpoint takes to deploy and to answer, and what an answer costs, for each instance type.

mod prices;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use local_cloud::Durability;
use serde_json::{Value, json};

use self::prices::Price;
use super::measurement::median_of;
use super::up::Up;
use crate::client::aws;
use crate::client::aws::sagemaker::{Runtime, SageMaker};
use crate::escape::{self, Shown};
use crate::pictures::sample::SAMPLE;
use crate::pictures::source;
use crate::runtime::runtime;

/// Where the model of this machine's endpoint lies: a bucket that `up` has.
const BUCKET: &str = "portraits";
const KEY: &str = "time-traveler-bench/model.tar.gz";
/// `up` takes every image and every role for its own.
const LOCAL_IMAGE: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/time-traveler:latest";
const LOCAL_ROLE: &str = "arn:aws:iam::000000000000:role/bench";
/// The price list where none is given: this machine, which costs nothing.
const THIS_MACHINE: &str = "ml.m5.large";
/// How often the status of an endpoint is asked for.
const PAUSE: Duration = Duration::from_millis(200);
/// SageMaker's name of the drivers that instances with a GPU need.
const GPU_AMI: &str = "al2023-ami-sagemaker-inference-gpu-4-1";

#[derive(Debug, Args)]
pub(crate) struct BenchEndpoint {
    /// The picture to send [default: a built-in portrait]
    photo: Option<PathBuf>,
    /// Type of PHOTO, which may then be any file, such as application/json [default: the picture's]
    #[arg(long, value_name = "TYPE", requires = "photo")]
    content_type: Option<String>,
    /// Folder of the model, for an endpoint on this machine, by an `up` of its own
    #[arg(long, value_name = "DIR", required_unless_present = "model_data", conflicts_with = "model_data")]
    model: Option<PathBuf>,
    /// The model as s3://…/model.tar.gz, for endpoints on AWS. The other commands' profile and region count
    #[arg(long, value_name = "URI", requires = "image", requires = "role")]
    model_data: Option<String>,
    /// The container's image in ECR
    #[arg(long, value_name = "URI", conflicts_with = "model")]
    image: Option<String>,
    /// ARN of the endpoint's role
    #[arg(long, value_name = "ARN", conflicts_with = "model")]
    role: Option<String>,
    /// An instance type and its price an hour, such as ml.g4dn.xlarge=0.736. May be given several times
    #[arg(long = "price", value_name = "TYPE=PRICE")]
    prices: Vec<Price>,
    /// CSV with a line TYPE,PRICE for each instance type
    #[arg(long, value_name = "FILE")]
    prices_from: Option<PathBuf>,
    /// Number of requests to each endpoint, one after the other; one before them is not counted
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    requests: u16,
    /// Seconds that a deployment may take
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    wait: u64,
    /// The AWS endpoint [default: from the environment, as for any AWS tool]
    #[arg(long, value_name = "URL", conflicts_with = "model")]
    endpoint_url: Option<String>,
    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What is deployed, and what it is sent.
struct Work {
    model_data: String,
    image: String,
    role: String,
    body: Vec<u8>,
    content_type: String,
}

/// The figures of an instance type, in seconds.
struct Measured {
    price: Price,
    deployment: f64,
    answers: Vec<f64>,
}

impl Measured {
    fn mean(&self) -> f64 {
        self.answers.iter().sum::<f64>() / self.answers.len() as f64
    }
}

pub(crate) fn run(bench: &BenchEndpoint) -> anyhow::Result<()> {
    let prices = bench.price_list()?;
    let body = match &bench.photo {
        Some(photo) => source::read(photo, source::MAX_BYTES)?,
        None => SAMPLE.to_vec(),
    };
    let content_type = match &bench.content_type {
        Some(given) => given.clone(),
        None => image::guess_format(&body)
            .context("the photo is no JPEG, PNG or WebP: --content-type would send any file")?
            .to_mime_type()
            .to_owned(),
    };
    let measured = runtime()?.block_on(async {
        match &bench.model {
            Some(folder) => {
                let data = tempfile::tempdir().context("a temporary folder cannot be made")?;
                let up = Up::start(data.path(), Durability::default(), &[])?;
                let config = aws::config(Some(&up.aws)).await;
                store(&config, packed(folder)?).await?;
                let model_data = format!("s3://{BUCKET}/{KEY}");
                let (image, role) = (LOCAL_IMAGE.to_owned(), LOCAL_ROLE.to_owned());
                measure(&config, &Work { model_data, image, role, body, content_type }, prices, bench).await
            }
            None => {
                let config = aws::config(bench.endpoint_url.as_deref()).await;
                let given = |value: &Option<String>| value.clone().unwrap_or_default();
                let (model_data, image, role) = (given(&bench.model_data), given(&bench.image), given(&bench.role));
                measure(&config, &Work { model_data, image, role, body, content_type }, prices, bench).await
            }
        }
    })?;
    print(&measured, bench)
}

impl BenchEndpoint {
    /// The instance types in their order. On this machine one of no price is enough.
    fn price_list(&self) -> anyhow::Result<Vec<Price>> {
        let mut prices = self.prices.clone();
        if let Some(file) = &self.prices_from {
            prices.extend(prices::list(file)?);
        }
        if prices.is_empty() {
            if self.model.is_none() {
                bail!("no instance type is given: --price ml.g4dn.xlarge=0.736 or --prices-from prices.csv would work");
            }
            prices.push(Price { instance_type: THIS_MACHINE.to_owned(), an_hour: 0.0 });
        }
        Ok(prices)
    }
}

/// The files of a model folder as SageMaker's archive.
fn packed(folder: &Path) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(folder.is_dir(), "--model {} is no folder: one with a checkpoint would work", folder.shown());
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.append_dir_all("", folder).with_context(|| format!("{} cannot be packed", folder.shown()))?;
    Ok(archive.into_inner()?.finish()?)
}

async fn store(config: &aws_config::SdkConfig, archive: Vec<u8>) -> anyhow::Result<()> {
    let client = aws_sdk_s3::Client::new(config);
    let sent = client.put_object().bucket(BUCKET).key(KEY).body(archive.into()).send().await;
    sent.context("the model cannot be stored")?;
    Ok(())
}

/// Deploys, asks and deletes an endpoint of each instance type, one after the other.
async fn measure(
    config: &aws_config::SdkConfig,
    work: &Work,
    prices: Vec<Price>,
    bench: &BenchEndpoint,
) -> anyhow::Result<Vec<Measured>> {
    let (sagemaker, endpoint) = (SageMaker::new(config)?, Runtime::new(config)?);
    let mut measured = Vec::new();
    for (number, price) in prices.into_iter().enumerate() {
        let name = format!("time-traveler-bench-{}-{number}", std::process::id());
        if !bench.json {
            note!("{}: deploying", price.instance_type);
        }
        // An endpoint costs money until it is deleted, so that an interruption deletes it too.
        let figures = tokio::select! {
            figures = one(&sagemaker, &endpoint, work, &name, &price.instance_type, bench) => figures,
            signal = tokio::signal::ctrl_c() => signal.map_err(Into::into).and_then(|()| bail!("interrupted")),
        };
        let deleted = delete(&sagemaker, &name).await;
        let (deployment, answers) = figures.with_context(|| format!("an endpoint on {} fails", price.instance_type))?;
        deleted?;
        measured.push(Measured { price, deployment, answers });
    }
    Ok(measured)
}

/// The seconds of a deployment, and of each answer.
async fn one(
    sagemaker: &SageMaker,
    endpoint: &Runtime,
    work: &Work,
    name: &str,
    instance_type: &str,
    bench: &BenchEndpoint,
) -> anyhow::Result<(f64, Vec<f64>)> {
    let container = json!({"Image": work.image, "ModelDataUrl": work.model_data});
    let model = json!({"ModelName": name, "ExecutionRoleArn": work.role, "PrimaryContainer": container});
    sagemaker.call("CreateModel", &model).await?;
    let mut variant = json!({
        "VariantName": "all", "ModelName": name, "InstanceType": instance_type, "InitialInstanceCount": 1,
    });
    if instance_type.starts_with("ml.g") || instance_type.starts_with("ml.p") {
        variant["InferenceAmiVersion"] = json!(GPU_AMI);
    }
    let configuration = json!({"EndpointConfigName": name, "ProductionVariants": [variant]});
    sagemaker.call("CreateEndpointConfig", &configuration).await?;
    let began = Instant::now();
    sagemaker.call("CreateEndpoint", &json!({"EndpointName": name, "EndpointConfigName": name})).await?;
    loop {
        let (status, reason) = sagemaker.status(name).await?;
        match status.as_str() {
            "InService" => break,
            "Creating" if began.elapsed() < Duration::from_secs(bench.wait) => tokio::time::sleep(PAUSE).await,
            "Creating" => bail!("it is not in service after {} s: a larger --wait would work", bench.wait),
            _ => bail!("it is {status}: {}", escape::line(&reason.unwrap_or_else(|| "no reason is given".to_owned()))),
        }
    }
    let deployment = began.elapsed().as_secs_f64();
    let ask = || endpoint.invoke(name, &work.body, &work.content_type);
    ask().await?;
    let mut answers = Vec::new();
    for _ in 0..bench.requests {
        let began = Instant::now();
        ask().await?;
        answers.push(began.elapsed().as_secs_f64());
    }
    Ok((deployment, answers))
}

/// Deletes what was made. What was not made is no error.
async fn delete(sagemaker: &SageMaker, name: &str) -> anyhow::Result<()> {
    let mut left = Vec::new();
    for (kind, operation) in [
        ("EndpointName", "DeleteEndpoint"),
        ("EndpointConfigName", "DeleteEndpointConfig"),
        ("ModelName", "DeleteModel"),
    ] {
        match sagemaker.call(operation, &json!({kind: name})).await {
            Err(error) if !error.to_string().starts_with("ValidationException") => {
                left.push(format!("{operation}: {error}"));
            }
            _ => {}
        }
    }
    anyhow::ensure!(left.is_empty(), "{name} may cost money until it is deleted: {}", left.join("; "));
    Ok(())
}

fn print(measured: &[Measured], bench: &BenchEndpoint) -> anyhow::Result<()> {
    if bench.json {
        let rows: Vec<Value> = measured
            .iter()
            .map(|row| {
                json!({
                    "instanceType": row.price.instance_type, "pricePerHour": row.price.an_hour,
                    "deploymentSeconds": row.deployment, "meanSecondsPerImage": row.mean(),
                    "medianSecondsPerImage": median_of(row.answers.clone()),
                    "costPer1000Images": row.price.of_thousand(row.mean()),
                })
            })
            .collect();
        return print_line!("{}", json!({"requests": bench.requests, "instances": rows}));
    }
    print_line!(
        "| instance type | cost per hour | deployment time (s) | mean time per image (s) | cost per 1000 images |"
    )?;
    print_line!("|---|---|---|---|---|")?;
    measured.iter().try_for_each(|row| {
        let Price { instance_type, an_hour } = &row.price;
        let (mean, cost) = (row.mean(), row.price.of_thousand(row.mean()));
        print_line!("| {instance_type} | {an_hour:.3} | {:.1} | {mean:.3} | {cost:.4} |", row.deployment)
    })
}
