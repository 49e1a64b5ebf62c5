//! A regex that is compiled when it is first needed.

use std::sync::OnceLock;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// A regex over bytes. Most programs meet few kinds of secrets, and some live for milliseconds.
#[derive(Debug)]
pub(super) struct Lazy {
    regex: String,
    pub(super) ignore_case: bool,
    made: OnceLock<Option<Regex>>,
}

impl Lazy {
    pub(super) fn new(regex: String, ignore_case: bool) -> Self {
        Self {
            regex,
            ignore_case,
            made: OnceLock::new(),
        }
    }

    /// The regex; none if it is not one.
    pub(super) fn get(&self) -> Option<&Regex> {
        let made = self.made.get_or_init(|| self.compile().ok());
        made.as_ref()
    }

    /// Compiles it, or says in a line why that cannot be done.
    pub(super) fn compile(&self) -> Result<Regex, String> {
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .case_insensitive(self.ignore_case);
        let config = Regex::config()
            .utf8_empty(false)
            // Searches are anchored at a literal that is already found.
            .auto_prefilter(false)
            .nfa_size_limit(Some(1 << 20));
        let made = Regex::builder()
            .syntax(syntax)
            .configure(config)
            .build(&self.regex);
        made.map_err(|error| match error.syntax_error() {
            // The parser draws a picture; its last line says why.
            Some(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
            None => error.to_string().replace('\n', " "),
        })
    }

    /// Whether it is found anywhere.
    pub(super) fn is_match(&self, bytes: &[u8]) -> bool {
        self.get().is_some_and(|regex| regex.is_match(bytes))
    }
}
