//! An iterator of a driver as an item stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use remote::{
    Annotations, BoxFuture, Context, Exception, ItemStream, Reply, ReplyBody, Serializer, Session,
    Value,
};

use crate::control::Outgoing;
use crate::frames::{self, Answered};
use crate::run::Run;
use crate::service::ServiceState;

/// An iterator of a driver's.
pub(crate) struct DriverStream {
    pub service: Arc<ServiceState>,
    pub session: Arc<Session>,
    pub run: Arc<Run>,
    pub number: i64,
    pub serializer: Serializer,
    pub member: String,
    pub is_closed: bool,
    /// Whether the last item could not be sent, after which the stream goes on.
    pub is_refused: Arc<AtomicBool>,
}

impl ItemStream for DriverStream {
    fn goes_on(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    fn close(&mut self) -> BoxFuture<()> {
        self.is_closed = true;
        let (service, run, session) =
            (Arc::clone(&self.service), Arc::clone(&self.run), Arc::clone(&self.session));
        let request = frames::finish_stream(self.number);
        let by_control = Outgoing::close_stream(self.number);
        Box::pin(async move {
            // Where its worker has ended, so has the generator.
            match service.worker.sessions.lease(&run, &session) {
                Ok(mut lease) => drop(lease.exchange(request).await),
                Err(_) => run.send(by_control),
            }
        })
    }

    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        let session = Arc::clone(&self.session);
        let mut context = Context::internal();
        context.serializer = self.serializer;
        let next = self.next_for(&session, context);
        Box::pin(async move {
            match next.await?.map(|item| item.body) {
                None => Ok(None),
                Some(ReplyBody::Value(value)) => Ok(Some(value)),
                Some(_) => Err(Exception::type_error("an item that is a stream")),
            }
        })
    }

    fn next_for(
        &mut self,
        session: &Arc<Session>,
        context: Context,
    ) -> BoxFuture<Result<Option<Reply>, Exception>> {
        // A stream that has lingered is somebody else's from now on.
        self.session = Arc::clone(session);
        let (service, run, session) =
            (Arc::clone(&self.service), Arc::clone(&self.run), Arc::clone(session));
        let refused = Arc::clone(&self.is_refused);
        refused.store(false, Ordering::Relaxed);
        let serializer = context.serializer;
        let request = frames::next_item(self.number, context);
        let member = self.member.clone();
        Box::pin(async move {
            let outcome = match service.worker.sessions.lease(&run, &session) {
                Ok(mut lease) => {
                    if let Some(driven) = service.driven.get() {
                        driven.by(&session, run.number);
                    }
                    lease.exchange(request).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Answered::Value(value, annotations)) => {
                    Ok(Some(item(ReplyBody::Value(value), annotations)))
                }
                Ok(Answered::Stream(number, annotations)) => {
                    let (is_closed, is_refused) = (false, Arc::default());
                    let stream = DriverStream {
                        service,
                        session,
                        run,
                        number,
                        serializer,
                        member,
                        is_closed,
                        is_refused,
                    };
                    Ok(Some(item(ReplyBody::Stream(Box::new(stream)), annotations)))
                }
                Ok(Answered::End) => Ok(None),
                Ok(Answered::Refused(exception)) => {
                    refused.store(true, Ordering::Relaxed);
                    Err(exception)
                }
                Ok(Answered::Raised(exception) | Answered::NotMade(exception)) => Err(exception),
                Ok(Answered::Serialized(_) | Answered::Begun | Answered::NoInstance) => {
                    Err(frames::unexpected_answer())
                }
                Err(error) => Err(service.failure(&run, error, &member).await),
            }
        })
    }
}

fn item(body: ReplyBody, annotations: Annotations) -> Reply {
    Reply { body, annotations, memory: None }
}

impl Drop for DriverStream {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        // A generator's last steps run on its session's thread, if that is at hand.
        let request = frames::close_stream(self.number);
        if !self.service.worker.sessions.tell(&self.run, self.session.id, &request) {
            self.run.send(Outgoing::close_stream(self.number));
        }
    }
}
