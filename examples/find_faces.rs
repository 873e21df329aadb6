//! Finds the faces of a photograph: `cargo run --release --example find_faces -- examples/astronaut.png`

use face::Detector;

fn main() -> anyhow::Result<()> {
    let photo = std::env::args().nth(1).unwrap_or_else(|| "examples/astronaut.png".to_owned());
    let picture = picture::decode(&std::fs::read(photo)?)?;
    for face in Detector::built_in()?.detect(&picture, 1, 0.0) {
        println!("{:?}, score {:.2}", face.rectangle, face.score);
    }
    Ok(())
}
