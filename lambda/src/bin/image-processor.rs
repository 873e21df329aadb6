//! The image-processor function.

fn main() -> anyhow::Result<()> {
    lambda::image_processor::main()
}
