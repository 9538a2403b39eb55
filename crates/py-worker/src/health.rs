//! Health check of a service in a worker.

use std::sync::Arc;

use remote::{Exception, HealthCheck, Session, Value};

use crate::frames::{self, Answered};
use crate::service::ServiceState;

/// Whether the instrument is well.
pub(crate) async fn check(
    service: Arc<ServiceState>,
    session: Arc<Session>,
    check: HealthCheck,
) -> Result<bool, Exception> {
    let run = service.run().await?;
    let what = check.member.clone().unwrap_or_else(|| "the constructor".to_owned());
    let outcome = match service.worker.sessions.lease(&run, &session) {
        Ok(mut lease) => lease.exchange(frames::health(&service.name, check)).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Answered::Value(value, _)) => Ok(value != Value::Bool(false)),
        Ok(Answered::Raised(exception)) => Err(exception),
        Ok(_) => Err(frames::unexpected_answer()),
        Err(error) => Err(service.failure(&run, error, &format!("'{what}'")).await),
    }
}
