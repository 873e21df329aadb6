//! Runs S3 on this machine until Enter: `cargo run --release --example local_cloud`

use local_cloud::{Cloud, Conditions, Listeners, Stack};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let stack = Stack { buckets: vec!["photos".to_owned()], ..Stack::default() };
    let listeners =
        Listeners { aws: TcpListener::bind("127.0.0.1:0").await?, api: TcpListener::bind("127.0.0.1:0").await? };
    let data = tempfile::tempdir()?;
    let cloud = Cloud::start(&stack, data.path(), listeners, Conditions::default()).await?;
    println!("AWS_ENDPOINT_URL=http://{} aws s3 ls s3://photos", cloud.aws_address());
    std::io::stdin().read_line(&mut String::new())?;
    cloud.stop().await;
    Ok(())
}
