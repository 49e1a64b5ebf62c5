//! The patches that Codex applies.
//!
//! ```text
//! *** Begin Patch
//! *** Update File: src/main.rs
//! *** Move to: src/app.rs
//! @@ fn main() {
//!  unchanged
//! -old
//! +new
//! *** Add File: notes.md
//! +first line
//! *** Delete File: old.txt
//! *** End Patch
//! ```

use tacho_schemas::body::change::Change;

/// The first line.
pub(super) const BEGIN: &str = "*** Begin Patch";

const END: &str = "*** End Patch";

/// What a patch does.
#[derive(Debug, Default)]
pub(super) struct Patch {
    pub(super) files: Vec<File>,
    /// Lines that were not understood.
    pub(super) strange: usize,
}

/// What it does to a file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) change: Change,
    /// Where the file lies, and after a move, where it lies then.
    pub(super) path: String,
    /// Where it lay before a move.
    moved_from: Option<String>,
    /// The whole file, if it is made.
    pub(super) text: String,
    hunks: String,
    pub(super) added: u64,
    pub(super) removed: u64,
}

impl File {
    /// The change as a diff; a patch gives no line numbers.
    pub(super) fn diff(&self) -> String {
        let before = self.moved_from.as_ref().unwrap_or(&self.path);
        format!("--- a/{before}\n+++ b/{}\n{}", self.path, self.hunks)
    }
}

/// Finds a patch in a text around it.
pub(super) fn within(text: &str) -> Option<&str> {
    let from = text.find(BEGIN)?;
    let rest = text.get(from..)?;
    let until = rest.find(END)? + END.len();
    rest.get(..until)
}

/// Reads a patch.
pub(super) fn read(text: &str) -> Patch {
    let mut patch = Patch::default();
    let text = within(text).unwrap_or(text);
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("*** ") {
            patch.head(head.trim_end());
        } else {
            patch.line(line);
        }
    }
    patch
}

impl Patch {
    fn head(&mut self, head: &str) {
        let begins = [
            ("Add File: ", Change::Create),
            ("Update File: ", Change::Modify),
            ("Delete File: ", Change::Delete),
        ];
        let found = begins
            .iter()
            .find_map(|(words, change)| Some((head.strip_prefix(words)?, *change)));
        if let Some((path, change)) = found {
            self.files.push(File {
                change,
                path: path.to_owned(),
                moved_from: None,
                text: String::new(),
                hunks: String::new(),
                added: 0,
                removed: 0,
            });
            return;
        }
        match (head.strip_prefix("Move to: "), self.files.last_mut()) {
            (Some(path), Some(file)) if file.change == Change::Modify => {
                file.change = Change::Rename;
                file.moved_from = Some(std::mem::replace(&mut file.path, path.to_owned()));
            }
            _ if matches!(head, "Begin Patch" | "End Patch" | "End of File") => {}
            _ => self.strange += 1,
        }
    }

    fn line(&mut self, line: &str) {
        let Some(file) = self.files.last_mut() else {
            self.strange += usize::from(!line.trim().is_empty());
            return;
        };
        let mark = line.chars().next();
        match (file.change, mark) {
            (Change::Create, Some('+')) => {
                file.text.push_str(line.strip_prefix('+').unwrap_or(line));
                file.text.push('\n');
                return;
            }
            (Change::Create | Change::Delete, _) => {
                self.strange += usize::from(!line.trim().is_empty());
                return;
            }
            (_, Some('+')) => file.added += 1,
            (_, Some('-')) => file.removed += 1,
            (_, Some(' ' | '@') | None) => {}
            _ => {
                self.strange += 1;
                return;
            }
        }
        file.hunks.push_str(line);
        file.hunks.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_sort_of_change() {
        let text = "apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: a.rs\n@@ fn x()\n one\n-two\n+three\n+four\n*** End of File\n\
                    *** Update File: b.rs\n*** Move to: c.rs\n@@\n-b\n+c\n*** Add File: d.md\n+first\n+\n+third\n*** Delete File: e.txt\n\
                    *** End Patch\nEOF\n";
        let patch = read(text);
        assert_eq!(patch.strange, 0);
        let seen: Vec<_> = patch
            .files
            .iter()
            .map(|f| (f.change, f.path.as_str(), f.added, f.removed))
            .collect();
        assert_eq!(
            seen,
            [
                (Change::Modify, "a.rs", 2, 1),
                (Change::Rename, "c.rs", 1, 1),
                (Change::Create, "d.md", 0, 0),
                (Change::Delete, "e.txt", 0, 0),
            ]
        );
        assert_eq!(patch.files[2].text, "first\n\nthird\n");
        assert_eq!(
            patch.files[1].diff(),
            "--- a/b.rs\n+++ b/c.rs\n@@\n-b\n+c\n"
        );
    }

    #[test]
    fn counts_what_it_does_not_understand() {
        let patch =
            read("what\n*** Begin Patch\n*** Copy File: a\n*** Update File: a\n?\n*** End Patch");
        assert_eq!((patch.files.len(), patch.strange), (1, 2));
        assert_eq!(read("").files.len(), 0);
    }
}
