//! `foretype/status`: what the worker is at, told to the client without flooding it.

use std::sync::Arc;
use std::time::Duration;

use tower_lsp::Client;
use tower_lsp::ls_types::MessageType;

use crate::server::protocol::{StatusNotification, StatusParams};
use crate::server::session::Session;
use crate::worker::{State, Status};

/// Work that is done sooner is not worth a message.
const SETTLE: Duration = Duration::from_millis(80);

/// Tell the client of every state that lasts, from now on.
pub fn follow(session: &Arc<Session>) {
    let client = session.client.clone();
    let mut status = session.status();
    tokio::spawn(async move {
        let mut last = None;
        loop {
            let new = status.borrow_and_update().as_ref().map(parameters);
            if let Some(new) = new.filter(|new| last.as_ref() != Some(new)) {
                tell(&client, &new).await;
                last = Some(new);
            }
            if status.changed().await.is_err() {
                return;
            }
            if matches!(status.borrow().as_ref().map(|status| &status.state), Some(State::Busy)) {
                tokio::time::sleep(SETTLE).await;
            }
        }
    });
}

async fn tell(client: &Client, status: &StatusParams) {
    client.send_notification::<StatusNotification>(status.clone()).await;
    if status.state == "failed" {
        client.show_message(MessageType::ERROR, format!("Foretype: {}", status.message)).await;
    }
}

fn parameters(status: &Status) -> StatusParams {
    let model = status.model.clone();
    let (state, message, progress) = match &status.state {
        State::Loading(share) => ("loading", format!("loading {model}"), *share),
        State::Ready => ("ready", String::new(), None),
        State::Busy => ("busy", String::new(), None),
        State::Failed(reason) => ("failed", reason.clone(), None),
    };
    StatusParams { state: state.to_owned(), message, model, progress }
}
