//! The blocks of a Markdown document.

/// Reasons for which a block is not run; no others count.
const REASONS: [&str; 6] = ["account", "GPU", "Docker", "network", "long", "interactive"];
const MARK: &str = "<!-- not run:";

/// What a block is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Sh,
    Python,
    /// Nothing to run.
    Text,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of its opening fence, from 1.
    pub(crate) line: usize,
    pub(crate) language: Language,
    pub(crate) text: String,
    /// Why it is not run.
    pub(crate) reason: Option<String>,
}

/// The blocks of a document in order, or the line of the first mistake and what would work.
pub(crate) fn blocks(markdown: &str) -> Result<Vec<Block>, (usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut mark: Option<(usize, String)> = None;
    for (line, text) in markdown.lines().enumerate().map(|(index, text)| (index + 1, text.trim_end())) {
        let fence = text.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(text);
                block.text.push('\n');
            }
            (None, Some(name)) => {
                let language = language(name).map_err(|mistake| (line, mistake))?;
                if let (Some((line, _)), Language::Text) = (&mark, language) {
                    return Err((*line, format!("a block of {name} is never run: it needs no reason")));
                }
                let reason = mark.take().map(|(_, reason)| reason);
                open = Some(Block { line, language, text: String::new(), reason });
            }
            (None, None) => {
                if let Some((line, _)) = mark {
                    return Err((line, "the reason has to stand right above a block of sh or python".to_owned()));
                }
                mark = reason(text).map_err(|mistake| (line, mistake))?.map(|reason| (line, reason));
            }
        }
    }
    match (open, mark) {
        (Some(block), _) => Err((block.line, "the block has no end".to_owned())),
        (None, Some((line, _))) => Err((line, "the reason stands above nothing".to_owned())),
        (None, None) => Ok(blocks),
    }
}

fn language(name: &str) -> Result<Language, String> {
    match name {
        "sh" => Ok(Language::Sh),
        "python" => Ok(Language::Python),
        "text" | "json" | "rust" => Ok(Language::Text),
        _ => Err(format!("a block of {name:?} is not known: sh and python are run; text, json and rust are not")),
    }
}

fn reason(line: &str) -> Result<Option<String>, String> {
    let Some(rest) = line.trim_start().strip_prefix(MARK) else { return Ok(None) };
    let reason = rest.strip_suffix("-->").map(str::trim).unwrap_or_default();
    match REASONS.contains(&reason) {
        true => Ok(Some(reason.to_owned())),
        false => Err(format!("{reason:?} is no reason not to run a block: {} are", REASONS.join(", "))),
    }
}

/// The arguments of every line that calls the command line.
pub(crate) fn commands_of_ours(text: &str) -> Vec<Vec<String>> {
    let calls = ["cargo run --release -- ", "cargo run --release --features cuda -- ", "time-traveler "];
    let joined = text.replace("\\\n", " ");
    let arguments =
        joined.lines().filter_map(|line| calls.iter().find_map(|call| line.trim_start().strip_prefix(call)));
    arguments.map(words).collect()
}

/// The words of a command up to its comment, pipe or redirection. Quotes group words; nothing is expanded.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == letter => quote = None,
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '<' | '&' | ';') => break,
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(markdown: &str) -> (usize, String) {
        blocks(markdown).unwrap_err()
    }

    #[test]
    fn blocks_are_found_with_their_reasons() {
        let markdown =
            "# Title\n\n```sh\na\n\nb\n```\ntext\n\n<!-- not run: GPU -->\n```python\nc\n```\n\n```json\n{}\n```\n";
        let block = |line, language, text: &str, reason: Option<&str>| Block {
            line,
            language,
            text: text.to_owned(),
            reason: reason.map(str::to_owned),
        };
        assert_eq!(
            blocks(markdown),
            Ok(vec![
                block(3, Language::Sh, "a\n\nb\n", None),
                block(11, Language::Python, "c\n", Some("GPU")),
                block(15, Language::Text, "{}\n", None),
            ])
        );
    }

    #[test]
    fn mistakes_are_found() {
        assert_eq!(mistake("\n<!-- not run: too hard -->\n```sh\n```\n").0, 2, "not on the list");
        assert_eq!(mistake("<!-- not run: long -->\n\n```sh\n```\n").0, 1, "not right above");
        assert_eq!(mistake("<!-- not run: long -->\n```json\n{}\n```\n").0, 1, "nothing to run");
        assert_eq!(mistake("text\n<!-- not run: long -->").0, 2, "above nothing");
        assert_eq!(mistake("```bash\nls\n```\n").0, 1, "a language by which a block would not be run");
        assert_eq!(mistake("```\nls\n```\n").0, 1, "no language");
        assert_eq!(mistake("\n\n```sh\nls\n").0, 3, "no end");
    }

    #[test]
    fn commands_are_split_as_a_shell_does() {
        let text = "ls\ntime-traveler send a.jpg \\\n    --api \"$(output Url)\"  # there\n  cargo run --release -- up | cat\n";
        assert_eq!(
            commands_of_ours(text),
            [vec!["send", "a.jpg", "--api", "$(output Url)"], vec!["up"]]
                .map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>())
        );
    }
}
