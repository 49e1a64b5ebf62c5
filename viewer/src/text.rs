//! Text on its way to the screen: made safe, cut, wrapped.
//!
//! Everything that comes out of a log passes [`said`] or [`said_lines`] before any screen sees it. Both are
//! [`tacho_schemas::safe`] with two bounds on top: runs of combining marks and the length of a line.

use tacho_schemas::Time;
use tacho_schemas::safe::{safe, safe_block};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Characters of a line that are shown; of the rest, how many there are.
const LONGEST: usize = 4096;

/// Lines of a text that are shown.
const MOST_LINES: usize = 20_000;

/// Characters without width that may follow each other: more would climb over the lines around.
const STACKED: usize = 3;

/// Makes text of a log fit to be shown on one line.
pub(crate) fn said(text: &str) -> String {
    bound(&safe(text))
}

/// Makes text of a log fit to be shown in lines; a tab shows as an arrow.
pub(crate) fn said_lines(text: &str) -> Vec<String> {
    let text = safe_block(text);
    let mut lines: Vec<String> = text
        .lines()
        .take(MOST_LINES)
        .map(|line| bound(&line.replace('\t', "→   ")))
        .collect();
    let more = text.lines().skip(MOST_LINES).count();
    if more > 0 {
        lines.push(format!("… {} more lines", thousands_of(more)));
    }
    lines
}

fn bound(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST * 2));
    let (mut stacked, mut left_out) = (0, 0_usize);
    for (place, c) in text.chars().enumerate() {
        if place >= LONGEST {
            left_out += 1;
            continue;
        }
        stacked = match unicode_width::UnicodeWidthChar::width(c) {
            Some(0) => stacked + 1,
            _ => 0,
        };
        match stacked {
            0..=STACKED => shown.push(c),
            _ => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    if left_out > 0 {
        shown.push_str(&format!("… {} more characters", thousands_of(left_out)));
    }
    shown
}

/// Cells that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text to so many cells, with `…` where something is left out.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let next = grapheme.width();
        if used + next + 1 > room {
            break;
        }
        used += next;
        shown.push_str(grapheme);
    }
    if room > 0 {
        shown.push('…');
    }
    shown
}

/// Cuts a text to so many cells in its middle: what things are called often ends in a number.
pub(crate) fn cut_middle(text: &str, room: usize) -> String {
    let all = width(text);
    if all <= room || room < 5 {
        return cut(text, room);
    }
    let tail = room / 2;
    let head = cut(text, room - tail);
    format!("{head}{}", skip(text, all - tail))
}

/// Leaves out the first cells of a text.
pub(crate) fn skip(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        if used >= cells {
            return text.get(at..).unwrap_or_default();
        }
        used += grapheme.width();
    }
    ""
}

/// A number with commas: `48,213`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn thousands_of(number: usize) -> String {
    thousands(u64::try_from(number).unwrap_or(u64::MAX))
}

/// A number of things: `1 record`, `2,000 records`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", thousands(number))
}

/// The hour of a moment, in UTC: `14:03:12`.
pub(crate) fn clock(time: Time) -> String {
    time.to_string().chars().skip(11).take(8).collect()
}

/// The day and hour of a moment, in UTC: `11-24 14:03:12`.
pub(crate) fn short(time: Time) -> String {
    let moment = moment(time);
    moment.get(5..19).unwrap_or(&moment).to_owned()
}

/// The day of a moment, in UTC: `2026-11-24`.
pub(crate) fn day(time: Time) -> String {
    time.to_string().chars().take(10).collect()
}

/// A moment to the second, in UTC.
pub(crate) fn moment(time: Time) -> String {
    format!("{} {}Z", day(time), clock(time))
}

/// How long until a moment, or since: `22 min left`, `3 h ago`.
pub(crate) fn until(then: Time, now: Time) -> String {
    let seconds = then.0.saturating_sub(now.0) / 1_000_000_000;
    let length = span(seconds.unsigned_abs());
    match seconds {
        0.. => format!("{length} left"),
        _ => format!("{length} ago"),
    }
}

/// A length of time in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", thousands(seconds / 86_400)),
    }
}

/// Bytes in a unit that fits: `8.0 KiB`.
pub(crate) fn bytes(number: u64) -> String {
    let mut unit = 0_usize;
    let mut size = number;
    let mut tenths = 0;
    while size >= 1024 && unit < 4 {
        tenths = size % 1024 * 10 / 1024;
        size /= 1024;
        unit += 1;
    }
    let name = ["B", "KiB", "MiB", "GiB", "TiB"]
        .get(unit)
        .unwrap_or(&"TiB");
    match unit {
        0 => format!("{size} {name}"),
        _ => format!("{size}.{tenths} {name}"),
    }
}

/// Breaks a line into lines of so many cells, at spaces where there are some.
pub(crate) fn wrap(line: &str, room: usize) -> Vec<&str> {
    let room = room.max(1);
    if width(line) <= room {
        return vec![line];
    }
    let mut lines = Vec::new();
    let (mut start, mut used) = (0, 0);
    // Where the line may end, and the cells up to there.
    let mut good: Option<(usize, usize)> = None;
    for (at, grapheme) in line.grapheme_indices(true) {
        let next = grapheme.width();
        if used + next > room && grapheme == " " {
            lines.push(line.get(start..at).unwrap_or_default().trim_end());
            (start, used, good) = (at + 1, 0, None);
            continue;
        }
        if used + next > room && at > start {
            let (end, kept) = match good.take() {
                Some((end, kept)) if end > start => (end, kept),
                _ => (at, used),
            };
            lines.push(line.get(start..end).unwrap_or_default().trim_end());
            start = end;
            used -= kept;
        }
        used += next;
        if grapheme == " " {
            good = Some((at + 1, used));
        }
    }
    lines.push(line.get(start..).unwrap_or_default());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_within_long_words() {
        assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("ab 日本語", 5), ["ab", "日本", "語"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("one two three", 100), ["one two three"]);
        for room in 1..20 {
            for line in wrap(
                "The `eval_time` of 68.7 seconds is too long, 日本語 and so on",
                room,
            ) {
                assert!(width(line) <= room.max(2), "{room}: {line}");
            }
        }
    }

    #[test]
    fn what_climbs_or_never_ends_is_bounded() {
        let climbing = format!("a{}", "\u{301}".repeat(40));
        assert!(said(&climbing).starts_with("a\u{301}\u{301}\u{301}\\u{301}"));
        let long = said(&"x".repeat(10_000));
        assert!(long.ends_with("… 5,904 more characters"), "{long}");
        assert_eq!(said("a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(said_lines("a\tb\n\x1b"), ["a→   b", "\\x1b"]);
    }

    #[test]
    fn cuts_and_counts() {
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut_middle("prompt of iteration 80", 12), "promp…ion 80");
        assert_eq!(skip("日本語", 2), "本語");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes(8_295), "8.1 KiB");
    }
}
