//! The model server with a model of a few milliseconds, for tests under load: a portrait is its first pixel's colour, an age
//! makes it brighter, and a colour of its own makes the device panic.

use std::future::pending;
use std::net::Ipv4Addr;
use std::time::Duration;

use container::{AnswerType, Failure, InferenceHandler, Refusal, Request, Settings, Work};
use nn::Stages;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long a pass takes, whoever takes part.
const PASS: Duration = Duration::from_millis(3);
/// The colour that breaks the device.
const PANIC: [u8; 3] = [255, 0, 255];

struct Quick {
    batch_size: usize,
}

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
    type Model = ();
    type Work = Colour;

    fn name(&self) -> &'static str {
        "quick"
    }

    fn model(&self) -> anyhow::Result<()> {
        std::thread::sleep(10 * PASS);
        Ok(())
    }

    fn input(&self, request: &Request, stages: &mut Stages) -> Result<Colour, Refusal> {
        let picture = stages.measure("decode", || picture::decode(&request.picture))?;
        let colour = picture.pixels().next().map_or([0; 3], |pixel| pixel.0);
        Ok(Colour { colour, ages: request.ages.as_slice().to_vec(), panels: Vec::new() })
    }

    fn predict(&self, (): &mut (), work: &mut [&mut Colour], stages: &mut Stages) -> Result<(), Failure> {
        stages.measure("ages", || std::thread::sleep(PASS));
        let mut room = self.batch_size;
        for portrait in work {
            assert_ne!(portrait.colour, PANIC, "a picture of this colour is to break the device");
            while room > 0 && !portrait.is_done() {
                let age = portrait.ages[portrait.panels.len()];
                portrait.panels.push(portrait.colour.map(|level| level.saturating_add(age)));
                room -= 1;
            }
        }
        Ok(())
    }

    fn output(&self, portrait: Colour, _: AnswerType, stages: &mut Stages) -> Result<Vec<u8>, Refusal> {
        let (rows, columns, channels) = pipeline::strip::shape(portrait.ages.len());
        let dictionary =
            format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {columns}, {channels}), }}");
        let mut file = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        file.extend(format!("{dictionary:<117}\n").bytes());
        Ok(stages.measure("encode", || {
            let panels = [&[portrait.colour][..], &portrait.panels].concat();
            let row: Vec<u8> = panels.iter().flat_map(|colour| colour.repeat(pipeline::strip::PANEL)).collect();
            file.reserve_exact(rows * row.len());
            (0..rows).for_each(|_| file.extend(&row));
            file
        }))
    }

    fn device_memory(&self, (): &()) -> Option<u64> {
        None
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    let settings = Settings::from_env()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    println!("http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        if terminate.recv().await.is_none() {
            pending().await
        }
    };
    let handler = Quick { batch_size: settings.batch_size };
    container::serve(listener, settings, handler, shutdown).await
}
