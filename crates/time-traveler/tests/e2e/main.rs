//! The pipeline from outside: the real binary, real AWS SDK clients, real HTTP.

#![allow(clippy::unwrap_used, reason = "what a test finds missing is its failure")]

mod attacks;
mod boto3;
mod check;
mod classify;
mod command_line;
mod datasets;
mod descriptions;
mod detect;
mod evaluation;
mod export;
mod face_weights;
mod flow;
mod given_up;
mod hostile_server;
mod kills;
mod logs;
mod model_servers;
mod monitoring;
mod notebooks;
mod outputs;
mod own_results;
mod page;
mod privacy;
mod python;
mod refusals;
mod restart;
mod sam;
mod smoke;
mod ssd;
mod support;
mod sweep;
mod tenants;
mod terminal;
mod trace;
