//! How the terminal on stdout can show pictures, by its environment variables. The terminal itself is not queried: some do not
//! answer, and a late answer would appear as input of the shell.

use super::graphics::Graphics;

/// How the terminal shows pictures, or why it cannot. `variable` returns a variable of the environment.
pub(crate) fn graphics(variable: impl Fn(&str) -> Option<String>) -> Result<Graphics, String> {
    let value = |name: &str| variable(name).unwrap_or_default();
    let is_set = |name: &str| !value(name).is_empty();
    let (term, program) = (value("TERM"), value("TERM_PROGRAM"));
    // By default, tmux and screen do not pass graphics on to their terminal.
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
        return Err("pictures need colours, but NO_COLOR is set; --show=blocks ignores that".into());
    }
    if term.is_empty() || term == "dumb" {
        return Err(format!("a terminal with TERM={term} shows no colours; --show=blocks uses them all the same"));
    }
    Ok(Graphics::Blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supported(environment: &[(&str, &str)]) -> Result<Graphics, String> {
        let of =
            |name: &str| environment.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned());
        graphics(of)
    }

    #[test]
    fn terminals_are_recognized_by_their_environment() {
        assert_eq!(supported(&[("TERM", "xterm-kitty")]), Ok(Graphics::Kitty));
        assert_eq!(supported(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "ghostty")]), Ok(Graphics::Kitty));
        assert_eq!(supported(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "iTerm.app")]), Ok(Graphics::Iterm2));
        assert_eq!(supported(&[("TERM", "xterm-256color"), ("TERM_PROGRAM", "WezTerm")]), Ok(Graphics::Iterm2));
        assert_eq!(supported(&[("TERM", "foot-extra")]), Ok(Graphics::Sixel));
        assert_eq!(supported(&[("TERM", "xterm-256color")]), Ok(Graphics::Blocks));
    }

    #[test]
    fn multiplexers_get_blocks() {
        assert_eq!(supported(&[("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1")]), Ok(Graphics::Blocks));
        assert_eq!(supported(&[("TERM", "xterm-kitty"), ("TMUX", "/tmp/tmux-0/default,1,0")]), Ok(Graphics::Blocks));
        assert_eq!(supported(&[("TERM", "screen.xterm"), ("LC_TERMINAL", "iTerm2")]), Ok(Graphics::Blocks));
    }

    #[test]
    fn a_terminal_without_colours_shows_no_pictures() {
        assert!(supported(&[("TERM", "xterm"), ("NO_COLOR", "1")]).unwrap_err().contains("NO_COLOR"));
        assert_eq!(supported(&[("TERM", "xterm"), ("NO_COLOR", "")]), Ok(Graphics::Blocks));
        assert_eq!(supported(&[("TERM", "xterm-kitty"), ("NO_COLOR", "1")]), Ok(Graphics::Kitty));
        assert!(supported(&[("TERM", "dumb")]).unwrap_err().contains("TERM=dumb"));
        assert!(supported(&[]).is_err());
    }
}
