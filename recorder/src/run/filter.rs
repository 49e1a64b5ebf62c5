//! What an agent may say to the user's terminal.
//!
//! Passed: text, colours, cursor, titles, the questions that full-screen programs ask (where is the cursor, what are you).
//! Taken out: what writes to the clipboard (OSC 52), what makes the terminal answer with text that the agent chose (title reports,
//! DECRQSS, XTGETTCAP, ENQ: the answer could be read by the shell after the agent is gone), remote control and file transfer of
//! particular terminals (OSC 1337 and 5522, DCS `@` and tmux passthrough, APC, PM, SOS).

/// Bytes of parameters after which a control sequence is none that we know, and is dropped.
const MAX: usize = 256;

/// Remembers what part of a control sequence came before.
#[derive(Debug, Default)]
pub(super) struct Filter {
    state: State,
    /// The sequence so far, while it is not decided.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Text,
    /// After 0xC2, which begins an 8-bit control in UTF-8.
    C2,
    Escape,
    Csi,
    /// An operating-system command or a device string whose beginning is not read yet.
    Undecided(Sort),
    /// One that passes or not, up to its end; `true` after an ESC that may begin the end.
    Text_(bool, bool),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    Osc,
    Dcs,
}

const ESC: u8 = 0x1b;

impl Filter {
    /// Passes on what may pass of these bytes.
    pub(super) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            self.step(*byte, out);
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        // Either of these ends whatever was begun.
        if matches!(byte, 0x18 | 0x1a) {
            self.held.clear();
            self.state = State::Text;
            out.push(byte);
            return;
        }
        match self.state {
            State::Text => self.text(byte, out),
            State::C2 => {
                self.state = State::Text;
                if !(0x80..=0x9f).contains(&byte) {
                    out.push(0xc2);
                    self.text(byte, out);
                }
            }
            State::Escape => self.escape(byte, out),
            State::Csi => self.csi(byte, out),
            State::Undecided(sort) => self.undecided(sort, byte, out),
            State::Text_(passes, after_escape) => self.string(passes, after_escape, byte, out),
        }
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            ESC => self.begin(State::Escape, &[ESC]),
            0xc2 => self.state = State::C2,
            // ENQ: the terminal would answer.
            0x05 => {}
            _ => out.push(byte),
        }
    }

    fn begin(&mut self, state: State, held: &[u8]) {
        self.state = state;
        self.held.clear();
        self.held.extend_from_slice(held);
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'[' => self.begin(State::Csi, &[ESC, byte]),
            b']' => self.begin(State::Undecided(Sort::Osc), &[ESC, byte]),
            b'P' => self.begin(State::Undecided(Sort::Dcs), &[ESC, byte]),
            // APC, PM, SOS.
            b'_' | b'^' | b'X' => self.begin(State::Text_(false, false), &[]),
            // An ESC in an ESC begins anew.
            ESC => {}
            _ => {
                out.extend_from_slice(&[ESC, byte]);
                self.state = State::Text;
            }
        }
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == ESC {
            self.begin(State::Escape, &[ESC]);
            return;
        }
        self.held.push(byte);
        if (0x40..=0x7e).contains(&byte) {
            // Window reports 20 and 21 tell icon label and title, which the agent chose.
            let asks_title = byte == b't' && {
                let first = self
                    .held
                    .get(2..)
                    .unwrap_or_default()
                    .split(|b| *b == b';')
                    .next()
                    .unwrap_or_default();
                let digits: Vec<u8> = first.iter().copied().filter(u8::is_ascii_digit).collect();
                let digits = digits.as_slice();
                digits.strip_prefix(b"0").unwrap_or(digits) == b"20" || digits.ends_with(b"21")
            };
            if !asks_title {
                out.append(&mut self.held);
            }
            self.held.clear();
            self.state = State::Text;
        } else if self.held.len() > MAX || byte >= 0x80 {
            self.held.clear();
            self.state = State::Text;
        }
    }

    fn undecided(&mut self, sort: Sort, byte: u8, out: &mut Vec<u8>) {
        if byte == ESC || byte == 0x07 {
            // Nothing but a number: `OSC 104 ST` resets colours.
            let passes = self.may_pass(sort, true);
            self.decide(passes, out);
            self.string(passes, false, byte, out);
            return;
        }
        self.held.push(byte);
        let decided = match sort {
            Sort::Osc => byte == b';' || self.held.len() > 16,
            // Parameters and intermediates come first; the byte after them is the kind, and decides.
            Sort::Dcs => (0x40..=0x7e).contains(&byte) || self.held.len() > 64,
        };
        if decided {
            let passes = self.may_pass(sort, false);
            self.decide(passes, out);
        }
    }

    fn decide(&mut self, passes: bool, out: &mut Vec<u8>) {
        if passes {
            out.append(&mut self.held);
        }
        self.held.clear();
        self.state = State::Text_(passes, false);
    }

    /// Whether a string with this beginning may pass.
    fn may_pass(&self, sort: Sort, ended: bool) -> bool {
        let begun = self.held.get(2..).unwrap_or_default();
        match sort {
            Sort::Osc => {
                let number = begun.strip_suffix(b";").unwrap_or(begun);
                let known = !number.is_empty()
                    && number.len() <= 4
                    && number.iter().all(u8::is_ascii_digit);
                let plain = number
                    .iter()
                    .skip_while(|b| **b == b'0')
                    .copied()
                    .collect::<Vec<_>>();
                known && !matches!(plain.as_slice(), b"50" | b"52" | b"1337" | b"5522")
            }
            // Sixel pictures (`q` after digits) and nothing else.
            Sort::Dcs => {
                !ended
                    && begun.split_last().is_some_and(|(kind, before)| {
                        *kind == b'q' && before.iter().all(|b| b.is_ascii_digit() || *b == b';')
                    })
            }
        }
    }

    fn string(&mut self, passes: bool, after_escape: bool, byte: u8, out: &mut Vec<u8>) {
        match (after_escape, byte) {
            (true, b'\\') => {
                if passes {
                    out.extend_from_slice(&[ESC, byte]);
                }
                self.state = State::Text;
            }
            (true, _) => {
                // The string was broken off, and another sequence begins. The terminal is told to break off too.
                if passes {
                    out.push(0x18);
                }
                self.begin(State::Escape, &[ESC]);
                self.escape(byte, out);
            }
            (false, ESC) => self.state = State::Text_(passes, true),
            (false, 0x07) => {
                if passes {
                    out.push(byte);
                }
                self.state = State::Text;
            }
            (false, _) if passes => out.push(byte),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &str) -> String {
        let (mut filter, mut whole) = (Filter::default(), Vec::new());
        filter.pass(text.as_bytes(), &mut whole);
        // Cut anywhere, it is the same.
        let (mut filter, mut split) = (Filter::default(), Vec::new());
        for byte in text.as_bytes() {
            filter.pass(&[*byte], &mut split);
        }
        assert_eq!(whole, split);
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn what_programs_need_passes_unchanged() {
        for text in [
            "plain text, ümläute, 日本語, é\r\n",
            "\x1b[31mred\x1b[0m \x1b[?1049h\x1b[2J\x1b[1;1H\x1b[38;2;1;2;3m",
            "\x1b[6n\x1b[c\x1b[>c\x1b[?2026$p\x1b[>4;2m\x1b[?u",
            "\x1b]0;title\x07\x1b]2;title\x1b\\\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\",
            "\x1b]11;?\x1b\\\x1b]104\x07\x1b]10;#fff\x07",
            "\x1b[22;0t\x1b[23;0t\x1b[18t\x1b[8;24;80t",
            "\x1b(B\x1b)0\x1b=\x1b>\x1b7\x1b8\x1bM\x1b#8",
            "\x1bP0;1;0q#0;2;0;0;0#0~~@@\x1b\\after",
            "\x1bc",
        ] {
            assert_eq!(passed(text), text, "{text:?}");
        }
    }

    #[test]
    fn what_reaches_beyond_the_screen_is_taken_out() {
        for (text, left) in [
            ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
            ("a\x1b]52;c;?\x1b\\b", "ab"),
            ("a\x1b]052;c;ZXZpbA==\x07b", "ab"),
            ("a\x1b]1337;File=name=eA==:eA==\x07b", "ab"),
            ("a\x1b]5522;type=read\x07b", "ab"),
            ("a\x1b]50;?\x07b", "ab"),
            ("a\x1b]l\x07b", "ab"),
            ("a\x1b[21tb", "ab"),
            ("a\x1b[20tb", "ab"),
            ("a\x1b[021tb", "ab"),
            ("a\x1b[21;1tb", "ab"),
            ("a\x1bP$qm\x1b\\b", "ab"),
            ("a\x1bP+q544e\x1b\\b", "ab"),
            ("a\x1bP@kitty-cmd{}\x1b\\b", "ab"),
            ("a\x1bPtmux;\x1b\x1b]52;c;ZXZpbA==\x07\x1b\\b", "a\x1b\\b"),
            ("a\x1b_Ga=T,t=f;L2V0Yy9wYXNzd2Q=\x1b\\b", "ab"),
            ("a\x1b^x\x1b\\b\x1bXy\x1b\\c", "abc"),
            ("a\x05b", "ab"),
            ("a\u{9d}52;c;ZXZpbA==\u{9c}b", "a52;c;ZXZpbA==b"),
            ("a\u{9b}21tb", "a21tb"),
            // Broken off and begun anew.
            ("a\x1b]0;t\x1b]52;c;ZXZpbA==\x07b", "a\x1b]0;t\x18b"),
            ("a\x1b[2\x1b]52;c;ZXZpbA==\x07b", "ab"),
            ("a\x1b]52;c;ZXZp\x18b", "a\x18b"),
            ("a\x1b\x1b]52;c;ZXZpbA==\x07b", "ab"),
        ] {
            assert_eq!(passed(text), left, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_without_an_end_takes_no_memory() {
        let mut filter = Filter::default();
        let mut out = Vec::new();
        filter.pass(b"\x1b[", &mut out);
        filter.pass(&vec![b'1'; 1 << 20], &mut out);
        filter.pass(b"\x1bP", &mut out);
        filter.pass(&vec![b'1'; 1 << 20], &mut out);
        assert!(filter.held.len() <= MAX);
    }
}
