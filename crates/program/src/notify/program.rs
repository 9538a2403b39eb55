//! A program that is started for each notification, with the JSON object on its standard input.

use std::time::Duration;

use supervisor::{CommandSpec, Exit, Spawner, Stdin};
use tokio::io::AsyncWriteExt;

/// Time for the program; then it is killed.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the program.
///
/// # Errors
/// It cannot be started, takes too long, or fails.
pub(super) async fn run(command: &[String], body: &[u8]) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    let mut spec = CommandSpec::new(program).args(arguments);
    spec.stdin = Stdin::Pipe;
    let spawner = Spawner::permanent().map_err(|error| error.to_string())?;
    let mut child = spawner.spawn(spec).await.map_err(|error| error.to_string())?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read it may know enough.
            let _ = stdin.write_all(body).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(PROGRAM_TIMEOUT, work).await {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(Exit::Code(code)) => Err(format!("it exited with code {code}")),
        Ok(_) => Err("it was killed".to_owned()),
        Err(_) => {
            Err(format!("it has not ended within {} s, and was killed", PROGRAM_TIMEOUT.as_secs()))
        }
    }
}
