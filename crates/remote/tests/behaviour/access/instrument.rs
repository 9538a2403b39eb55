//! An instrument that writes down what reaches it.

use std::sync::{Arc, Mutex};

use remote::{
    Answer, BoxFuture, Context, Exception, ItemStream, Metadata, Object, Operation, Reply,
    ReplyBody, Request, Session, Value,
};

/// The members that have been carried out, in order.
pub(super) type Seen = Arc<Mutex<Vec<String>>>;

/// An instrument that writes down what reaches it.
pub(super) struct Instrument {
    pub(super) seen: Seen,
}

impl Instrument {
    fn note(&self, what: &str) {
        self.seen.lock().unwrap().push(what.to_owned());
    }
}

impl Object for Instrument {
    fn metadata(&self) -> Result<Metadata, Exception> {
        Ok(Metadata::methods(["go", "look", "calibrate", "scan", "stop"]))
    }

    fn call(&self, _session: &Arc<Session>, request: Request) -> Answer {
        match request.operation {
            Operation::Call(call) if call.method == "scan" => {
                self.note("scan");
                let stream: Box<dyn ItemStream> = Box::new(Scan { seen: Arc::clone(&self.seen) });
                Answer::Ready(Ok(Reply {
                    body: ReplyBody::Stream(stream),
                    ..Reply::from(Value::None)
                }))
            }
            Operation::Call(call) => {
                self.note(&call.method);
                Answer::value(1)
            }
            Operation::Blob(blob) => {
                self.note(&blob.method);
                Answer::value(1)
            }
            Operation::GetAttr(name) => {
                self.note(&format!("get {name}"));
                Answer::value(1)
            }
            Operation::SetAttr(name, _) => {
                self.note(&format!("set {name}"));
                Answer::value(())
            }
            Operation::Batch(calls) => {
                let results = calls.iter().map(|call| {
                    self.note(&call.method);
                    Value::from(1)
                });
                Answer::value(results.collect::<Vec<_>>())
            }
        }
    }
}

/// A stream without an end.
struct Scan {
    seen: Seen,
}

impl ItemStream for Scan {
    fn next(&mut self) -> BoxFuture<Result<Option<Value>, Exception>> {
        self.seen.lock().unwrap().push("item".to_owned());
        Box::pin(async { Ok(Some(Value::from(1))) })
    }

    fn next_for(
        &mut self,
        _session: &Arc<Session>,
        _context: Context,
    ) -> BoxFuture<Result<Option<Reply>, Exception>> {
        let next = self.next();
        Box::pin(async move { Ok(next.await?.map(Reply::from)) })
    }

    fn close(&mut self) -> BoxFuture<()> {
        self.seen.lock().unwrap().push("closed".to_owned());
        Box::pin(async {})
    }
}
