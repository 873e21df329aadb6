//! `token`: issue a bearer token of a local pipeline whose portraits have owners.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use local_cloud::Tokens;

use crate::escape::Shown;
use crate::stack::ADMIN_GROUP;

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The subject: whose portraits the token's holder has
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    /// The data folder of `up`
    #[arg(long, value_name = "DIR", default_value = ".time-traveler")]
    data: PathBuf,
    /// The holder may name another owner: GET /jobs?owner=NAME
    #[arg(long)]
    admin: bool,
    /// Minutes until it expires
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=525_600))]
    minutes: i64,
}

pub(crate) fn run(token: &Token) -> anyhow::Result<()> {
    let tokens = Tokens::open(&token.data).with_context(|| format!("--data {}", token.data.shown()))?;
    let groups: Vec<String> = token.admin.then(|| ADMIN_GROUP.to_owned()).into_iter().collect();
    let now = jiff::Timestamp::now().as_second();
    print_line!("{}", tokens.issue(&token.name, &groups, now, token.minutes * 60))
}
