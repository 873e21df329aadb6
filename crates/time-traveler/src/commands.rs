//! One file a command: its arguments, and what it does.

pub(crate) mod age;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod classify;
pub(crate) mod completions;
pub(crate) mod dataset;
pub(crate) mod demo;
pub(crate) mod detect;
pub(crate) mod evaluate;
pub(crate) mod exec;
pub(crate) mod faces;
pub(crate) mod man;
pub(crate) mod model;
pub(crate) mod redrive;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod tour;
pub(crate) mod trace;
pub(crate) mod train;
pub(crate) mod up;
