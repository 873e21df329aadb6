//! The pipeline from outside: the real binary, real AWS SDK clients, real HTTP.

mod boto3;
mod command_line;
mod flow;
mod refusals;
mod restart;
mod support;
mod workspace;
