//! The command that is run for each hold, so that a pager, mail or chat is one line of settings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tacho_schemas::Seq;

use super::server::House;
use crate::error::Error;

/// Runs the command that tells people of a hold, with the hold as JSON on its standard input.
pub(super) fn notify(house: &House, hold: Seq) {
    let command = house.gate.settings().notify.clone();
    let Some((program, args)) = command.split_first() else {
        return;
    };
    let (program, args) = (program.clone(), args.to_vec());
    let gate = Arc::clone(&house.gate);
    house.runtime.spawn(async move {
        let asked = Arc::clone(&gate);
        let held = tokio::task::spawn_blocking(move || asked.held(hold)).await;
        let Ok(Ok(text)) = held.map(|held| held.map(|held| serde_json::to_vec(&held))) else {
            return;
        };
        let Ok(text) = text else { return };
        if let Err(error) = run(&program, &args, &text).await {
            gate.tell(&Error::io("run", Path::new(&program), error));
        }
    });
}

async fn run(program: &str, args: &[String], text: &[u8]) -> std::io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text).await?;
            stdin.shutdown().await?;
        }
        child.wait().await.map(drop)
    };
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}
