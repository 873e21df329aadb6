//! The terminal on stdout: its size, and what it can show pictures by, as far as the environment tells. It is asked nothing: what does
//! not answer would have to be waited for, and a late answer would be typed into the shell.

use crate::graphics::Graphics;

/// A terminal's size where nothing tells it.
const COLUMNS: u32 = 80;
const ROWS: u32 = 24;
/// Width and height of a character cell in pixels where the terminal does not tell.
const CELL: (u32, u32) = (10, 20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    /// Width and height of a character cell in pixels.
    pub(crate) cell: (u32, u32),
}

impl Size {
    /// Of the terminal on stdout; a usual one where there is none, or where it does not tell.
    pub(crate) fn of_stdout() -> Self {
        let (columns, rows, width, height) = asked_for();
        let columns = if columns > 0 { columns } else { COLUMNS };
        let cell = (width / columns, height.checked_div(rows).unwrap_or(0));
        Self {
            columns,
            rows: if rows > 0 { rows } else { ROWS },
            cell: if cell.0 > 0 && cell.1 > 0 { cell } else { CELL },
        }
    }
}

/// Columns, rows, width and height in pixels; 0 for what is not known.
#[cfg(unix)]
fn asked_for() -> (u32, u32, u32, u32) {
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or((0, 0, 0, 0), |size| {
        (size.ws_col.into(), size.ws_row.into(), size.ws_xpixel.into(), size.ws_ypixel.into())
    })
}

#[cfg(not(unix))]
fn asked_for() -> (u32, u32, u32, u32) {
    (0, 0, 0, 0)
}

/// What the terminal shows pictures by, or why it shows none. `variable` looks into the environment.
pub(crate) fn graphics(variable: impl Fn(&str) -> Option<String>) -> Result<Graphics, String> {
    let value = |name: &str| variable(name).unwrap_or_default();
    let is_set = |name: &str| !value(name).is_empty();
    let (term, program) = (value("TERM"), value("TERM_PROGRAM"));
    // Between here and a terminal that could, tmux and screen let no pictures through unless they are told to.
    let multiplexed = is_set("TMUX") || is_set("STY") || term.starts_with("tmux") || term.starts_with("screen");
    if !multiplexed {
        let named = |names: &[&str]| names.iter().any(|name| program.eq_ignore_ascii_case(name));
        if is_set("KITTY_WINDOW_ID") || term == "xterm-kitty" || term == "xterm-ghostty" || named(&["ghostty"]) {
            return Ok(Graphics::Kitty);
        }
        if named(&["iTerm.app", "WezTerm", "mintty", "rio"]) || value("LC_TERMINAL") == "iTerm2" {
            return Ok(Graphics::Iterm2);
        }
        if is_set("KONSOLE_VERSION") {
            return Ok(Graphics::Kitty);
        }
        if ["foot", "mlterm", "contour", "yaft"].iter().any(|name| term.starts_with(name)) || term.contains("sixel") {
            return Ok(Graphics::Sixel);
        }
    }
    if is_set("NO_COLOR") {
        return Err(
            "there is nothing to show it with, as NO_COLOR is set; --show=blocks uses colours all the same".into()
        );
    }
    if term.is_empty() || term == "dumb" {
        return Err(format!(
            "a terminal of the kind TERM={term} shows no colours; --show=blocks uses them all the same"
        ));
    }
    Ok(Graphics::Blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(environment: &[(&str, &str)]) -> Result<Graphics, String> {
        let of =
            |name: &str| environment.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        graphics(of)
    }

    #[test]
    fn terminals_are_known_by_their_environment() {
        assert_eq!(told(&[("TERM", "xterm-kitty")]), Ok(Graphics::Kitty));
        assert_eq!(told(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "ghostty")]), Ok(Graphics::Kitty));
        assert_eq!(told(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Ok(Graphics::Iterm2));
        assert_eq!(told(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")]), Ok(Graphics::Iterm2));
        assert_eq!(told(&[("TERM", "foot-extra")]), Ok(Graphics::Sixel));
        assert_eq!(told(&[("TERM", "xterm-256color")]), Ok(Graphics::Blocks));
    }

    #[test]
    fn multiplexers_get_characters() {
        assert_eq!(told(&[("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1")]), Ok(Graphics::Blocks));
        assert_eq!(told(&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux-0/default,1,0")]), Ok(Graphics::Blocks));
        assert_eq!(told(&[("TERM", "screen.xterm"), ("LC_TERMINAL", "iTerm2")]), Ok(Graphics::Blocks));
    }

    #[test]
    fn what_shows_no_colours_says_so() {
        assert!(told(&[("TERM", "xterm"), ("NO_COLOR", "1")]).unwrap_err().contains("NO_COLOR"));
        assert_eq!(told(&[("TERM", "xterm"), ("NO_COLOR", "")]), Ok(Graphics::Blocks));
        assert_eq!(told(&[("TERM", "xterm-kitty"), ("NO_COLOR", "1")]), Ok(Graphics::Kitty));
        assert!(told(&[("TERM", "dumb")]).unwrap_err().contains("TERM=dumb"));
        assert!(told(&[]).is_err());
    }
}
