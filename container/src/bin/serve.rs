//! The container's entry point: `serve`.

fn main() -> anyhow::Result<()> {
    container::main()
}
