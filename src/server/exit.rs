//! The notification `exit`, seen before tower-lsp handles it: the process must end at once, even while handlers wait
//! for answers that will never come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tower_lsp::jsonrpc::Request;
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

impl<S: Service<Request>> Service<Request> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request.method() == "exit" {
            self.exit.said.store(true, Ordering::Release);
            self.exit.notify.notify_one();
        }
        self.inner.call(request)
    }
}
