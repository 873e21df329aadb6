//! The model server with a model of a few milliseconds, for tests under load. It keeps the wire format of face ageing. A portrait
//! is the colour of its first pixel, and an age makes the colour brighter. One colour makes the model panic.

use std::future::pending;
use std::net::Ipv4Addr;
use std::time::Duration;

use container::handlers::face_aging::{self, wire};
use container::{Answer, Buffers, Environment, Failure, Head, InferenceHandler, Reason, Refusal, Settings, Work, heap};
use nn::Stages;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long a step takes, whatever the size of its batch.
const STEP: Duration = Duration::from_millis(3);
/// The colour that makes the model panic.
const PANIC: [u8; 3] = [255, 0, 255];

struct Quick(face_aging::Settings, Buffers);

struct Colour {
    colour: [u8; 3],
    ages: Vec<u8>,
    /// A colour for each age that is done.
    panels: Vec<[u8; 3]>,
}

impl Work for Colour {
    fn is_done(&self) -> bool {
        self.panels.len() == self.ages.len()
    }

    fn restart(&mut self) {
        self.panels.clear();
    }
}

impl InferenceHandler for Quick {
    // Tests read the metrics of face ageing.
    const METRICS_PREFIX: &'static str = "aging";
    const MAX_REQUEST_BYTES: usize = 50 << 20;

    type Model = ();
    type Request = wire::Request;
    type Payload = Vec<u8>;
    type Work = Colour;

    fn name(&self) -> &'static str {
        "quick"
    }

    fn batch_size(&self) -> usize {
        self.0.batch_size
    }

    fn model(&self) -> anyhow::Result<()> {
        std::thread::sleep(10 * STEP);
        Ok(())
    }

    fn accept(&self, head: &Head) -> Result<wire::Request, Refusal> {
        wire::request(head, &self.0.ages)
    }

    async fn fetch(&self, _: &wire::Request, body: Vec<u8>, _: usize, _: &mut Stages) -> Result<Vec<u8>, Refusal> {
        Ok(body)
    }

    fn input(&self, request: &wire::Request, body: Vec<u8>, stages: &mut Stages) -> Result<Colour, Refusal> {
        let picture = stages.measure("decode", || wire::picture(&body))?;
        let colour = picture.pixels().next().map_or([0; 3], |pixel| pixel.0);
        Ok(Colour { colour, ages: request.ages.as_slice().to_vec(), panels: Vec::new() })
    }

    fn predict(&self, (): &mut (), batch: &mut [&mut Colour], stages: &mut Stages) -> Result<(), Failure> {
        stages.measure("ages", || std::thread::sleep(STEP));
        let mut room = self.0.batch_size;
        for portrait in batch {
            assert_ne!(portrait.colour, PANIC, "a picture of this colour makes the model panic");
            while room > 0 && !portrait.is_done() {
                let age = portrait.ages[portrait.panels.len()];
                portrait.panels.push(portrait.colour.map(|level| level.saturating_add(age)));
                room -= 1;
            }
        }
        Ok(())
    }

    fn output(&self, request: &wire::Request, portrait: Colour, stages: &mut Stages) -> Result<Answer, Refusal> {
        let mut file = self.1.take();
        file.clear();
        file.extend(wire::header(request));
        stages.measure("encode", || {
            let panels = [&[portrait.colour][..], &portrait.panels].concat();
            let row: Vec<u8> = panels.iter().flat_map(|colour| colour.repeat(pipeline::strip::PANEL)).collect();
            file.reserve_exact(pipeline::strip::PANEL * row.len());
            (0..pipeline::strip::PANEL).for_each(|_| file.extend(&row));
        });
        wire::answer(request, file, self.name())
    }

    fn buffers(&self) -> Option<&Buffers> {
        Some(&self.1)
    }

    fn refusal(&self, reason: &Reason) -> Refusal {
        wire::refusal(reason)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    heap::limit_arenas();
    heap::return_large_blocks();
    let environment = Environment::of_this_process();
    let settings = Settings::read(&environment)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    println!("http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        if terminate.recv().await.is_none() {
            pending().await
        }
    };
    let handler = Quick(face_aging::Settings::read(&environment)?, Buffers::default());
    container::serve(listener, settings, handler, shutdown).await
}
