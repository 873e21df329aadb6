//! Ages a portrait to 20 and 80: `cargo run --release --example age_portrait -- examples/astronaut.png`

use aging::{Aligner, Engine, PANEL, strip};
use anyhow::Context;
use nn::Compute;
use picture::RgbImage;

fn main() -> anyhow::Result<()> {
    let photo = std::env::args().nth(1).unwrap_or_else(|| "examples/astronaut.png".to_owned());
    let engine = Engine::load(None, Compute::default())?;
    let portrait = Aligner::load(&[], engine.kind())?.portrait(&picture::decode(&std::fs::read(photo)?)?)?;
    let mut pixels = Vec::new();
    strip::append(&engine, portrait, &[20, 80], &mut pixels, &|_| true)?;
    let strip = RgbImage::from_raw(3 * PANEL, PANEL, pixels).context("a strip has three panels")?;
    Ok(strip.save("ages.png")?)
}
