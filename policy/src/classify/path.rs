//! Paths as texts: joined, made plain, set against the workspace.
//!
//! What a path leads to is the resolver's to say, as it follows links; a text alone can be wrong about `link/..`. Where nobody can
//! say, the plain text is the best guess there is.

/// Joins a path to a folder. The result may still have `.` and `..` in it.
pub(crate) fn join(cwd: &str, path: &str) -> String {
    if path.starts_with('/') || path == "~" || path.starts_with("~/") {
        path.to_owned()
    } else {
        format!("{cwd}/{path}")
    }
}

/// Takes `.`, `..` and doubled `/` out of an absolute path, as if nothing were a link.
pub(crate) fn plain(path: &str) -> String {
    let (start, rest) = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => ("~", rest),
        _ => ("", path),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in rest.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    if names.is_empty() && start.is_empty() {
        return "/".to_owned();
    }
    names.iter().fold(start.to_owned(), |mut path, name| {
        path.push('/');
        path.push_str(name);
        path
    })
}

/// The path below a folder; `Some("")` for the folder itself.
pub(crate) fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    match rest.strip_prefix('/') {
        Some(rest) => Some(rest),
        None => rest.is_empty().then_some(rest),
    }
}

/// As file systems compare names that do not tell upper case from lower.
pub(crate) fn fold(path: &str) -> String {
    path.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_spelling() {
        for (path, spelled) in [
            ("/w/./.github/../.github/x", "/w/.github/x"),
            ("/w//a///b/", "/w/a/b"),
            ("/..//../a", "/a"),
            ("/", "/"),
            ("/w/..", "/"),
            ("~", "~"),
            ("~/.claude/../.claude/x", "~/.claude/x"),
            ("~/../..", "~"),
        ] {
            assert_eq!(plain(path), spelled, "{path}");
        }
        assert_eq!(join("/w", "a"), "/w/a");
        assert_eq!(join("/w", "/a"), "/a");
        assert_eq!(join("/w", "~x/a"), "/w/~x/a");
        assert_eq!(below("/w/a", "/w"), Some("a"));
        assert_eq!(below("/w/a", "/w/"), Some("a"));
        assert_eq!(below("/w", "/w"), Some(""));
        assert_eq!(below("/wa", "/w"), None);
    }
}
