//! The notification `exit`, kept from tower-lsp: there it cancels what waits, even a `shutdown` that came just before.
//! Here the process ends whether handlers wait or not, and what can still be answered is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tower_lsp::jsonrpc::{Request, Response};
use tower_service::Service;

/// Knows whether the client said `exit`.
#[derive(Clone, Default)]
pub struct Exit {
    said: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

/// The service with an eye on `exit`.
pub struct Watched<S> {
    inner: S,
    exit: Exit,
}

/// Watch a service.
pub fn watch<S>(inner: S) -> (Watched<S>, Exit) {
    let exit = Exit::default();
    (Watched { inner, exit: exit.clone() }, exit)
}

impl Exit {
    /// Resolves once the client said `exit`.
    pub async fn requested(&self) {
        self.notify.notified().await;
    }

    /// Whether the client said `exit`.
    pub fn was_requested(&self) -> bool {
        self.said.load(Ordering::Acquire)
    }
}

impl<S> Service<Request> for Watched<S>
where
    S: Service<Request, Response = Option<Response>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == "exit" {
            self.exit.said.store(true, Ordering::Release);
            self.exit.notify.notify_one();
            return Box::pin(async { Ok(None) });
        }
        Box::pin(self.inner.call(request))
    }
}
