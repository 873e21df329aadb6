//! The names of AWS's operations and members, as `aws/names.py` wrote them.

/// An operation of AWS.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Method and path of a REST protocol.
    pub(crate) http: Option<(&'static str, &'static str)>,
    pub(crate) members: Vec<Member>,
}

/// A member of an operation's input.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    /// For S3, whether it is a header or a parameter of the query, and its name there.
    pub(crate) place: Option<(&'static str, &'static str)>,
}

/// The operations of a file.
pub(crate) fn parse(text: &'static str) -> Vec<Operation> {
    text.lines().filter(|line| !line.starts_with('#')).map(operation).collect()
}

fn operation(line: &'static str) -> Operation {
    let mut words = line.split(' ').peekable();
    let name = words.next().unwrap();
    let is_method = |word: &&str| ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"].contains(word);
    let http = words.next_if(is_method).map(|method| (method, words.next().unwrap()));
    let members = words.map(|word| {
        let (name, place) = match word.split_once('=') {
            Some((name, place)) => (name, Some(place.split_once(':').unwrap())),
            None => (word, None),
        };
        Member { name: name.trim_end_matches('!'), is_required: name.ends_with('!'), place }
    });
    Operation { name, http, members: members.collect() }
}
