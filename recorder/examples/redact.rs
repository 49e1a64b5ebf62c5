//! Shows what the redactor finds in files, and how fast it is: for whoever writes a pattern.
//!
//! ```text
//! cargo run --release -p tacho-recorder --example redact -- FILE…
//! ```
#![allow(clippy::cast_precision_loss, reason = "rates for people to read")]

use std::hint::black_box;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use tacho_recorder::Redactor;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let began = Cpu::now();
    let redactor = Redactor::builtin()?;
    eprintln!("made in {:.2?}", began.elapsed());
    let (mut bytes, mut found) = (0, tacho_recorder::redact::Found::default());
    for path in std::env::args().skip(1) {
        let file = std::fs::read(&path)?;
        let (redacted, here) = redactor.redact_bytes(&file);
        if !here.is_empty() {
            println!("{path}: {here}");
            show(&file, &redacted);
        }
        found.merge(&here);
        bytes += file.len();
    }
    println!("{bytes} bytes: {found}");
    if bytes == 0 {
        measure(&redactor);
    } else {
        println!("{:.2?}", began.elapsed());
    }
    Ok(())
}

/// The time that this thread has worked: what a busy machine does besides does not count.
#[derive(Clone, Copy)]
struct Cpu(Duration);

impl Cpu {
    fn now() -> Self {
        Self(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// Prints what differs, with some text around it.
fn show(before: &[u8], after: &[u8]) {
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    let mut rest = before.as_ref();
    let parts: Vec<&str> = after.split("[redacted:").collect();
    for (place, part) in parts.iter().enumerate() {
        let part = match place {
            0 => part,
            _ => part.split_once(']').map_or(*part, |(_, after)| after),
        };
        let near: String = part.chars().take(30).collect();
        let at = rest.find(part).unwrap_or(0);
        let secret: String = rest
            .get(..at)
            .unwrap_or_default()
            .chars()
            .take(100)
            .collect();
        if place > 0 {
            println!("    «{}»{}", secret.escape_debug(), near.escape_debug());
        }
        let tail: Vec<char> = part.chars().rev().take(60).collect();
        if place + 1 < parts.len() {
            let tail: String = tail.into_iter().rev().collect();
            println!("    {}", tail.escape_debug());
        }
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
}

fn measure(redactor: &Redactor) {
    let prose = "The agent opened src/main.rs, read 120 lines, and then ran the tests: 3 passed, none failed. ";
    let code = "    let token = tokens.next().ok_or_else(|| missing(\"token\"))?; // see https://docs.rs/x/1.0\n";
    let secret = concat!(
        "export GITHUB_TOKEN=ghp",
        "_x3v9m2Qw3e4r5t6y7u8i9o0pAsDfGhJkLzXc and on it goes, with some more text\n"
    );
    for (name, text) in [
        ("prose", prose),
        ("code", code),
        ("a secret in each line", secret),
    ] {
        let text = text.repeat((4 << 20) / text.len());
        let (mut rounds, began) = (0, Cpu::now());
        while began.elapsed().as_millis() < 500 {
            black_box(redactor.redact(black_box(&text)));
            rounds += 1;
        }
        let rate = (rounds * text.len()) as f64 / began.elapsed().as_secs_f64() / 1e6;
        println!("{name}: {rate:.0} MB/s");
    }
    for (name, text) in [("prose", prose), ("code", code)] {
        let text: String = text.chars().cycle().take(1024).collect();
        let (mut rounds, began) = (0_u32, Cpu::now());
        while began.elapsed().as_millis() < 300 {
            for _ in 0..100 {
                black_box(redactor.redact(black_box(&text)));
            }
            rounds += 100;
        }
        println!("1 KiB of {name}: {:.2?}", began.elapsed() / rounds);
    }
}
