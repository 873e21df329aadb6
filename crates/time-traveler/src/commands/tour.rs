//! `tour`: one portrait travels through the pipeline, and each hop is explained.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use local_cloud::{Cloud, Conditions, Durability};
use pipeline::{Ages, Status};

use super::send;
use super::up::stop_signal;
use crate::client::delivery::{self, Delivered, Order, Step};
use crate::client::{ApiAddresses, Client, Photo};
use crate::models::ModelFolder;
use crate::pictures::panels;
use crate::runtime::runtime;
use crate::stack::local::start;
use crate::stack::{Parts, stack};
use crate::terminal::hop_log::{HopLog, Line};
use crate::terminal::{contact_sheet, support};

/// How many words are read in a second: 200 in a minute.
const WORDS: f64 = 3.3;

#[derive(Debug, Args)]
pub(crate) struct Tour {
    /// A JPEG, PNG or WebP picture [default: a built-in portrait]
    photo: Option<PathBuf>,
    #[command(flatten)]
    model: ModelFolder,
    /// Ages to make
    #[arg(long, default_value_t)]
    ages: Ages,
    /// Port of the page; 0: any free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Do not pause for reading, and end after the last line
    #[arg(long)]
    fast: bool,
}

/// A stop of the tour: the first hop of this kind, and what it is for.
struct Stop {
    service: &'static str,
    action: &'static str,
    /// In the detail of the hop.
    about: &'static str,
    words: &'static str,
}

/// The stops in the order of the way.
const STOPS: [Stop; 11] = [
    Stop {
        service: "REST API",
        action: "PUT",
        about: "/images/",
        words: "The photograph comes in by one PUT. On AWS, API Gateway passes its bytes on to S3, and no program of ours \
                touches them.",
    },
    Stop {
        service: "EventBridge",
        action: "Object Created",
        about: "image-processor",
        words: "S3 keeps the photograph in the bucket of uploads, and raises an event. A rule sends it to the function \
                image-processor, and again where that fails.",
    },
    Stop {
        service: "S3",
        action: "PutObject",
        about: "/uploads/",
        words: "Object and event are written in one transaction. Only then is the PUT answered: what was acknowledged is not \
                lost by a crash.",
    },
    Stop {
        service: "Lambda",
        action: "Invoke",
        about: "image-processor",
        words: "image-processor runs. It copies the photograph, so that a later upload cannot change it, and records the job \
                in DynamoDB as PENDING.",
    },
    Stop {
        service: "HTTP API",
        action: "GET",
        about: "/jobs/",
        words: "Meanwhile the client asks for the job. The function job-tracker reads the record, and answers as soon as it \
                is final.",
    },
    Stop {
        service: "SageMaker",
        action: "InvokeEndpointAsync",
        about: "",
        words: "image-processor asks an asynchronous endpoint of SageMaker to age the face. The request waits in a queue, so \
                that no function has to wait for a slow model.",
    },
    Stop {
        service: "SageMaker",
        action: "Invocation",
        about: "",
        words: "The model server takes the request: it finds the face, cuts it out upright, and draws every age. The answer \
                is one array with all pictures side by side, the strip.",
    },
    Stop {
        service: "SNS",
        action: "Publish",
        about: "",
        words: "SageMaker stores the strip in S3 and sends a notice. Should the notice be lost, a scheduled sweep finds the \
                strip all the same.",
    },
    Stop {
        service: "S3",
        action: "PutObject",
        about: "/0.jpg",
        words: "image-processor splits the strip into JPEG files while it arrives: 0.jpg is the face as it is, the ages \
                follow. Then it records SUCCESS.",
    },
    Stop {
        service: "HTTP API",
        action: "SUCCESS",
        about: "",
        words: "The waiting client is told. The revision is a hash of photograph and ages: the same upload again would cost \
                nothing.",
    },
    Stop {
        service: "REST API",
        action: "GET",
        about: "files",
        words: "It fetches the pictures, straight from S3. On AWS, nothing here changes but the addresses.",
    },
];

pub(crate) fn run(tour: &Tour) -> anyhow::Result<()> {
    let at_terminal = std::io::stdout().is_terminal();
    let hops = HopLog::keeping();
    hops.install();
    let photo = match &tour.photo {
        Some(path) => Photo::read(path, None)?,
        None => Photo::sample(),
    };
    let engine = tour.model.engine()?;
    let data = tempfile::tempdir().context("a temporary folder cannot be created")?;
    let stack = stack(&Parts { model: tour.model.folder.as_deref(), ages: tour.ages.clone(), ..Parts::default() })?;
    runtime()?.block_on(async {
        let conditions = Conditions { durability: Durability::Kill, ..Conditions::default() };
        let cloud = start(&stack, &data.path().join("data"), tour.port, 0, conditions).await?;
        let stopped = stop_signal()?;
        let paced = at_terminal && !tour.fast;
        let visit = async {
            print_line!(
                "A portrait travels through the whole pipeline, which runs on this machine. Ctrl-C ends the tour."
            )?;
            print_line!("The engine {} draws the ages. Times are since the upload.\n", engine.name())?;
            let delivered = send(&hops, &cloud, photo, &tour.ages, &data.path().join("pictures")).await?;
            explain(&hops.kept(), paced).await?;
            if at_terminal && let Ok(graphics) = support::graphics(|name| std::env::var(name).ok()) {
                contact_sheet::show(&panels::read(delivered.panels())?, Some(graphics))?;
                print_line!("")?;
            }
            end(&cloud, paced)
        };
        let shown = async {
            visit.await?;
            if paced {
                // The page shows the portrait for as long as the visitor likes.
                std::future::pending::<()>().await;
            }
            anyhow::Ok(())
        };
        let done: anyhow::Result<()> = tokio::select! {
            done = shown => done,
            stopped = stopped => stopped.map_err(anyhow::Error::from),
        };
        cloud.stop().await;
        done
    })
}

/// Sends the photograph and waits for its pictures. The hops are kept.
async fn send(
    hops: &HopLog,
    cloud: &Cloud,
    photo: Photo,
    ages: &Ages,
    out: &std::path::Path,
) -> anyhow::Result<Delivered> {
    let client = Client::new(&ApiAddresses::local(cloud.api_address())).await?;
    let id = photo.id.clone();
    hops.start();
    let on_step = |_: usize, step: Step<'_>| match step {
        Step::Uploading { bytes } => {
            hops.show("REST API", "PUT", &format!("/images/{id}?ages={ages}, {bytes} bytes"));
        }
        Step::Uploaded => hops.show("HTTP API", "GET", &format!("/jobs/{id}?wait=1")),
        Step::Seen(job) if job.status == Status::Success => {
            hops.show("HTTP API", job.status.as_str(), &format!("revision {}", job.revision));
        }
        Step::Fetched { files, .. } => hops.show("REST API", "GET", &format!("{files} files")),
        Step::Replacing(_) | Step::Seen(_) | Step::Fetching | Step::Failed(_) => {}
    };
    let order = Order { ages: Some(ages), out: Some(out), animation: false, several: false };
    let answers = delivery::deliver(&client, vec![photo], order, &on_step).await;
    let (mut delivered, failed) = send::sort(std::slice::from_ref(&id), answers);
    match delivered.pop() {
        Some(one) if failed.is_empty() => Ok(one),
        _ => bail!("{}", failed.join("\n")),
    }
}

/// Prints the first hop of each stop, and what it is for.
async fn explain(hops: &[Line], paced: bool) -> anyhow::Result<()> {
    for stop in &STOPS {
        let is_this =
            |hop: &&Line| hop.service == stop.service && hop.action == stop.action && hop.detail.contains(stop.about);
        let hop = hops.iter().find(is_this);
        let hop = hop.with_context(|| format!("no {} of {} was seen on the way", stop.action, stop.service))?;
        print_line!("{hop}\n    {}\n", stop.words)?;
        if paced {
            let words = stop.words.split_whitespace().count() + hop.detail.split_whitespace().count();
            tokio::time::sleep(Duration::from_secs_f64(words as f64 / WORDS)).await;
        }
    }
    Ok(())
}

/// Prints where to go on.
fn end(cloud: &Cloud, stays: bool) -> anyhow::Result<()> {
    print_line!(
        "The functions and the model server are those of AWS. The services between them are a cloud on this machine,"
    )?;
    print_line!("which speaks AWS's protocols.")?;
    print_line!("`time-traveler up` keeps it running, and keeps what it is given.\n")?;
    let until = if stays { ", with this portrait on it until Ctrl-C" } else { "" };
    print_line!("The page: http://{}/{until}", cloud.api_address())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tour_takes_about_two_minutes() {
        let words: usize = STOPS.iter().map(|stop| stop.words.split_whitespace().count() + 3).sum();
        let seconds = words as f64 / WORDS;
        assert!((80.0..140.0).contains(&seconds), "{seconds} s");
    }
}
