//! The authorizer function.

fn main() -> anyhow::Result<()> {
    lambda::authorizer::main()
}
