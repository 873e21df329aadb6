//! The pictures of a portrait: where they come from, what is made of them, where they are written.

pub(crate) mod animation;
pub(crate) mod output_folder;
pub(crate) mod palette;
pub(crate) mod panels;
pub(crate) mod photograph;
pub(crate) mod portrait_name;
pub(crate) mod sample;
pub(crate) mod source;
pub(crate) mod target;
