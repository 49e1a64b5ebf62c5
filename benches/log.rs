//! `cargo bench`: what `tacho bench` measures, in short.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    for what in ["append", "verify"] {
        let status = Command::new(env!("CARGO_BIN_EXE_tacho"))
            .args(["bench", what, "--quick"])
            .status();
        match status {
            Ok(status) if status.success() => println!(),
            outcome => {
                eprintln!("tacho bench {what}: {outcome:?}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
