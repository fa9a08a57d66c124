//! The editor's settings: asked for after the start, and again when they change.

use tower_lsp::ls_types::{ConfigurationItem, DidChangeConfigurationParams};

use crate::config::{Layer, Source};
use crate::server::session::Session;

/// Name of our section.
const SECTION: &str = "foretype";

/// Ask the client for the section `foretype`.
pub async fn pull(session: &Session) {
    let item = ConfigurationItem { scope_uri: None, section: Some(SECTION.to_owned()) };
    match session.client.configuration(vec![item]).await {
        Ok(mut answers) if !answers.is_empty() => {
            session.set_editor_settings(Layer::json(Source::Editor, answers.swap_remove(0)));
        }
        Ok(_) => session.settled(),
        Err(error) => {
            tracing::warn!("the editor does not tell its settings: {error}");
            session.settled();
        }
    }
}

pub async fn changed(session: &Session, parameters: DidChangeConfigurationParams) {
    if session.facts().has_configuration {
        pull(session).await;
    } else if let Some(section) = parameters.settings.get(SECTION) {
        session.set_editor_settings(Layer::json(Source::Editor, section.clone()));
    }
}
