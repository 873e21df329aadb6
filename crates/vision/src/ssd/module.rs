use std::fmt::Display;

use nn::layers::{Loader, Norms};

/// A loader that knows the name of its module.
pub(super) struct Module<'a> {
    loader: Loader<'a>,
    name: String,
}

impl<'a> Module<'a> {
    /// The network itself, whose name is empty.
    pub(super) fn new(loader: &Loader<'a>) -> Self {
        Self { loader: loader.clone(), name: String::new() }
    }

    /// A module in this one.
    pub(super) fn at(&self, name: impl Display) -> Self {
        let full = if self.name.is_empty() { name.to_string() } else { format!("{}.{name}", self.name) };
        Self { loader: self.loader.at(name), name: full }
    }

    /// The same with other normalizations in training, for all layers in this module.
    pub(super) fn with_norms(&self, norms: Norms) -> Self {
        Self { loader: self.loader.clone().with_norms(norms), name: self.name.clone() }
    }

    pub(super) fn loader(&self) -> &Loader<'a> {
        &self.loader
    }

    /// The names of the modules from the network on, with `.` between them.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}
