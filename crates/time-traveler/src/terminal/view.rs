//! Options for a portrait's pictures besides the files: an animation, and a view in the terminal.

use std::str::FromStr;

use clap::Args;

use crate::choice::Choice;
use crate::terminal::graphics::Graphics;

#[derive(Debug, Args)]
pub(crate) struct View {
    /// Make no animation.gif of the ages
    #[arg(long)]
    pub(crate) no_animation: bool,
    /// Show the pictures in the terminal, as well as it can; with a value, in that way, even where stdout is no terminal
    #[arg(long, value_name = "kitty|iterm2|sixel|blocks", num_args = 0..=1, require_equals = true,
        default_missing_value = "auto", hide_possible_values = true, value_parser = Choice::<Show>::of(Show::CHOICES))]
    pub(crate) show: Option<Show>,
}

/// How pictures are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Show {
    /// As well as the terminal can.
    Auto,
    By(Graphics),
}

impl Show {
    const CHOICES: &[&str] = &["auto", "kitty", "iterm2", "sixel", "blocks"];

    /// The graphics that the user named.
    pub(crate) fn forced(self) -> Option<Graphics> {
        match self {
            Self::Auto => None,
            Self::By(graphics) => Some(graphics),
        }
    }
}

impl FromStr for Show {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "auto" => Self::Auto,
            "kitty" => Self::By(Graphics::Kitty),
            "iterm2" => Self::By(Graphics::Iterm2),
            "sixel" => Self::By(Graphics::Sixel),
            "blocks" => Self::By(Graphics::Blocks),
            _ => return Err("kitty, iterm2, sixel, blocks or nothing works".to_owned()),
        })
    }
}
