//! The systemd unit of the gate, where there is one: does it keep the gate away from the agents' user?

use std::path::{Path, PathBuf};

use super::Finding;

/// The unit as we ship it.
const SHIPPED: &str = include_str!("../../../contrib/systemd/tacho.service");

/// Where systemd looks for a unit of the machine's owner, and of a package.
const PLACES: [&str; 3] = [
    "/etc/systemd/system/tacho.service",
    "/usr/local/lib/systemd/system/tacho.service",
    "/usr/lib/systemd/system/tacho.service",
];

/// What may be another on each machine.
const FREE: [&str; 5] = [
    "User",
    "Group",
    "Environment",
    "ExecStart",
    "ReadWritePaths",
];

/// Looks at the unit of this machine; says nothing where there is none.
pub(super) fn examine(user: Option<&str>) -> Vec<Finding> {
    let found = PLACES.iter().map(PathBuf::from).find_map(|path| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((path, text))
    });
    match found {
        Some((path, text)) => judge(&path, &text, user),
        None => Vec::new(),
    }
}

/// The settings of `[Service]`; the last of a name counts, as for systemd.
fn service(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().map(str::trim);
    let lines = lines.skip_while(|line| *line != "[Service]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

fn judge(path: &Path, text: &str, user: Option<&str>) -> Vec<Finding> {
    let set = service(text);
    let value = |name: &str| set.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let mut findings = Vec::new();
    let own = "give it a user of its own: contrib/systemd/tacho.service shows how";
    match value("User") {
        None | Some("" | "root" | "0") => findings.push(Finding::bad(
            format!("{} runs the gate as root", path.display()),
            own,
        )),
        name if name == user => findings.push(Finding::bad(
            format!(
                "{} runs the gate as the user whose agents it is to watch",
                path.display()
            ),
            own,
        )),
        Some(name) => findings.push(Finding::good(format!(
            "{} runs the gate as `{name}`",
            path.display()
        ))),
    }
    let weaker: Vec<&str> = service(SHIPPED)
        .into_iter()
        .filter(|(name, shipped)| !FREE.contains(name) && value(name) != Some(*shipped))
        .map(|(name, _)| name)
        .collect();
    if !weaker.is_empty() {
        findings.push(Finding::warn(
            format!(
                "{} lacks or changes what the shipped unit sets: {}",
                path.display(),
                weaker.join(", ")
            ),
            "take it over from contrib/systemd/tacho.service; settings in drop-ins are not looked at",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn levels(text: &str, user: &str) -> Vec<Level> {
        let found = judge(Path::new("/unit"), text, Some(user));
        found.into_iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn the_shipped_unit_is_good_and_what_is_taken_away_shows() {
        assert_eq!(levels(SHIPPED, "me"), [Level::Good]);
        let free = SHIPPED.replace("/usr/local/bin", "/opt");
        assert_eq!(levels(&free, "me"), [Level::Good]);
        assert_eq!(levels(SHIPPED, "tacho"), [Level::Bad]);
        for root in ["", "User=root", "User=0", "User="] {
            let text = SHIPPED.replace("User=tacho", root);
            assert_eq!(levels(&text, "me"), [Level::Bad], "{root}");
        }
        // The last one counts.
        let twice = SHIPPED.replace("UMask=0077", "UMask=0077\nUser=root");
        assert_eq!(levels(&twice, "me"), [Level::Bad]);
        for line in service(SHIPPED) {
            if FREE.contains(&line.0) {
                continue;
            }
            let line = format!("{}={}\n", line.0, line.1);
            let without = SHIPPED.replace(&line, "");
            assert_ne!(without, SHIPPED, "{line}");
            assert_eq!(levels(&without, "me"), [Level::Good, Level::Warn], "{line}");
        }
    }
}
