//! Poll of a member of a service in a worker.

use std::sync::Arc;

use remote::{Context, Exception, Operation, Session, Value};

use crate::frames::{self, Answered};
use crate::item_stream::DriverStream;
use crate::service::ServiceState;

/// Reads a member. Neither a worker nor an attempt to import the driver is started for that.
pub(crate) async fn read(
    service: Arc<ServiceState>,
    session: Arc<Session>,
    member: String,
    context: Context,
) -> Result<Value, Exception> {
    let unavailable =
        || Exception::daemon_error(format!("service '{}' is not available", service.name));
    let run = service.serving().ok_or_else(unavailable)?;
    let operation = {
        let members = service.members.borrow();
        let members = members.as_ref().ok_or_else(unavailable)?;
        Operation::reading(&member, members, service.card.card().as_deref())?
    };
    let (serializer, no_instance) = (context.serializer, context.no_instance.clone());
    let polling = run.begin_poll(session.id);
    let outcome = match service.worker.sessions.lease(&run, &session) {
        Ok(mut lease) => {
            let request = frames::request(&service.name, operation, context, 0, 0);
            lease.exchange(request).await
        }
        Err(error) => Err(error),
    };
    drop(polling);
    match outcome {
        Ok(Answered::Value(value, _)) => Ok(value),
        Ok(Answered::Raised(exception)) => Err(exception),
        Ok(Answered::NoInstance) => match no_instance {
            Some(refusal) => Err(refusal.as_ref().clone()),
            None => Err(frames::unexpected_answer()),
        },
        Ok(Answered::Stream(number, _)) => {
            // Dropped: nobody reads it.
            let (is_closed, is_refused) = (false, Arc::default());
            drop(DriverStream {
                service,
                session,
                run,
                number,
                serializer,
                member,
                is_closed,
                is_refused,
            });
            Err(Exception::type_error("it returned a stream, which is no live value"))
        }
        Ok(_) => Err(frames::unexpected_answer()),
        Err(error) => Err(service.failure(&run, error, &format!("'{member}'")).await),
    }
}
