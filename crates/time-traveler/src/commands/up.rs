//! `up`: the whole pipeline on this machine, until Ctrl-C.

use std::io;
use std::path::PathBuf;

use aging::EngineKind;
use clap::Args;
use container::heap;
use lambda::Tenancy;
use local_cloud::{Cloud, Conditions, Durability, FaultPlan, Stack};
use pipeline::Ages;
use serde_json::json;
use tokio::signal;

use crate::choice::Choice;
use crate::escape::Shown;
use crate::models::ModelFolder;
use crate::runtime::runtime;
use crate::stack::local::start;
use crate::stack::lost_jobs::lost_jobs;
use crate::stack::own_image::OwnImage;
use crate::stack::retention::StripRetention;
use crate::stack::{Parts, stack, stack_file};
use crate::terminal::hop_log::HopLog;

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Port of the REST and HTTP APIs; 0: any free port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Port of the AWS endpoint; 0: any free port
    #[arg(long, default_value_t = 4566)]
    aws_port: u16,
    /// Folder of all data; the next `up` resumes the unfinished jobs in it
    #[arg(long, value_name = "DIR", default_value = ".time-traveler")]
    data: PathBuf,
    #[command(flatten)]
    model: ModelFolder,
    /// A program that keeps SageMaker's contract for containers, instead of the built-in model server
    #[arg(long, value_name = "PROGRAM")]
    model_server: Option<PathBuf>,
    /// A program that stands for an image, in training jobs and endpoints that scripts create. It runs with the argument `train` or
    /// `serve`. Repeatable
    #[arg(long = "image", value_name = "NAME=COMMAND")]
    images: Vec<OwnImage>,
    /// A file of resources of your own, in TOML: images, endpoints, buckets and tables
    #[arg(long, value_name = "FILE")]
    stack: Option<PathBuf>,
    /// Folder of the functions that `cargo lambda build` built, to run the deployed ones [default: the built-in ones]
    #[arg(long, value_name = "DIR")]
    functions: Option<PathBuf>,
    /// Ages of an upload that names none
    #[arg(long, default_value_t)]
    ages: Ages,
    /// Days until a job is forgotten and its pictures are deleted [default: RETENTION_DAYS, or 30]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    retention: Option<u16>,
    /// How long strips are kept, which take most of the disk: hours as 12h, days as 7d, or job: as long as the job
    #[arg(long, value_name = "TIME", default_value_t)]
    strip_retention: StripRetention,
    /// Whose portraits are: shared by all clients, or each its owner's, who sends a bearer token that the command `token` prints
    #[arg(long, default_value_t, value_parser = Choice::<Tenancy>::of(&Tenancy::WORDS))]
    tenancy: Tenancy,
    /// What acknowledged uploads survive: power-cut waits for the disk, kill leaves that to the kernel
    #[arg(long, value_name = "EVENT", default_value_t, value_parser = Choice::<Durability>::of(&Durability::WORDS))]
    durability: Durability,
    /// Inject faults at the given rates, such as seed=7,all=0.05,drop-notice=0.2. Runs are reproducible: same seed, same faults
    #[arg(long, value_name = "PLAN")]
    chaos: Option<FaultPlan>,
    /// Print the addresses as one line of JSON when ready
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(up: &Up) -> anyhow::Result<()> {
    // Photographs are private, so only their owner may read what this process and its children write.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Many strips pass through this process at once.
    heap::limit_arenas();
    heap::return_large_blocks();
    let hops = HopLog::of_tenancy(up.tenancy);
    hops.install();
    // The folder of another model server has files of its own.
    let engine = up.model_server.is_none().then(|| up.model.engine()).transpose()?;
    runtime()?.block_on(async {
        let mut stack = stack(&Parts {
            model: up.model.folder.as_deref(),
            model_server: up.model_server.as_deref(),
            functions: up.functions.as_deref(),
            images: &up.images,
            ages: up.ages.clone(),
            retention_days: up.retention,
            strips: up.strip_retention,
            tenancy: up.tenancy,
        })?;
        if let Some(file) = &up.stack {
            stack_file::add(file, &mut stack)?;
        }
        let conditions = Conditions { faults: up.chaos.clone(), durability: up.durability, ..Conditions::default() };
        let cloud = start(&stack, &up.data, up.port, up.aws_port, conditions).await?;
        if !cloud.recovery().is_empty() {
            note!("{}", cloud.recovery());
            match up.tenancy {
                Tenancy::Shared => {
                    for job in lost_jobs(&cloud).await? {
                        note!("lost: the pictures of {job}, whose photograph is lost too");
                    }
                }
                // Nobody but an owner lists what is the owner's.
                Tenancy::Owner => note!("owners may have lost pictures, which are not listed here"),
            }
        }
        // A signal may follow the announcement at once.
        let stopped = stop_signal()?;
        announce(&cloud, &stack, up, engine)?;
        hops.start();
        stopped.await?;
        note!("stopping; the next `up` resumes unfinished jobs");
        cloud.stop().await;
        Ok(())
    })
}

fn announce(cloud: &Cloud, stack: &Stack, up: &Up, engine: Option<EngineKind>) -> anyhow::Result<()> {
    let api = format!("http://{}", cloud.api_address());
    let aws = format!("http://{}", cloud.aws_address());
    if up.json {
        return print_line!(
            "{}",
            json!({
                "api": api, "aws": aws, "pid": std::process::id(), "model": engine.map(EngineKind::name),
            })
        );
    }
    let (data, logs) = (up.data.shown(), up.data.join("logs"));
    print_line!("Time Traveler is up. Ctrl-C stops it.\n")?;
    print_line!("  page  {api}/")?;
    print_line!("  API   {api}   curl -T photo.jpg {api}/images/ada; curl '{api}/jobs/ada?wait=20'")?;
    print_line!("  AWS   {aws}   export AWS_ENDPOINT_URL={aws}")?;
    print_line!("  state {api}/metrics for Prometheus; {api}/health")?;
    print_line!("  data  {data}   logs of functions and model server: {}", logs.shown())?;
    print_line!("  model {}", serving(up, engine))?;
    if up.tenancy == Tenancy::Owner {
        print_line!(
            "  owner each request needs a token   export TIME_TRAVELER_TOKEN=$(time-traveler token --data {data} NAME)"
        )?;
    }
    // The first one is the built-in image.
    let images: Vec<&str> = stack.images.iter().skip(1).map(|image| image.repository.as_str()).collect();
    if !images.is_empty() {
        print_line!("  image {}", images.join(", "))?;
    }
    if let Some(plan) = &up.chaos {
        let history = logs.join("faults.log");
        print_line!("\nFaults are injected: {plan}; each one is logged in {}", history.shown())?;
    }
    print_line!("")
}

/// What makes the pictures.
fn serving(up: &Up, engine: Option<EngineKind>) -> String {
    match (engine, &up.model.folder, &up.model_server) {
        (Some(EngineKind::Sam), Some(folder), _) => format!("sam, with the weights in {}", folder.display()),
        (None, _, Some(server)) => format!("the model server {}", server.display()),
        (_, Some(folder), _) => {
            format!("preview, a sketch of what a network makes, with the face models in {}", folder.display())
        }
        _ => "preview, a sketch of what a network makes: --model names a folder with a network's weights".to_owned(),
    }
}

/// Catches Ctrl-C and SIGTERM from now on. The future ends with the first.
#[cfg(unix)]
pub(super) fn stop_signal() -> io::Result<impl Future<Output = io::Result<()>>> {
    let mut interrupted = signal::unix::signal(signal::unix::SignalKind::interrupt())?;
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        Ok(())
    })
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub(super) fn stop_signal() -> io::Result<impl Future<Output = io::Result<()>>> {
    Ok(signal::ctrl_c())
}
