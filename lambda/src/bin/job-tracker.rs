//! The job-tracker function.

fn main() -> anyhow::Result<()> {
    lambda::job_tracker::main()
}
