//! A model for a subcommand: fetched if it is the default, loaded, with a progress bar on stderr.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::tell;
use crate::config::Settings;
use crate::engine::Engine;
use crate::model::store::{self, ModelFiles, Progress};

/// The model that the settings name, be it here or elsewhere.
///
/// # Errors
/// When it cannot be found, fetched or loaded, or the remote's key is missing.
pub fn writer(settings: &Settings) -> anyhow::Result<Engine> {
    match &settings.remote {
        Some(remote) => Engine::remote(remote),
        None => engine(settings),
    }
}

/// Load the model that the settings name for this machine, to complete with.
///
/// # Errors
/// When it cannot be found, fetched or loaded.
pub fn engine(settings: &Settings) -> anyhow::Result<Engine> {
    let mut engine = unmeasured(settings)?;
    engine.measure()?;
    Ok(engine)
}

/// Load the model that the settings name for this machine, to read and write given tokens with.
///
/// # Errors
/// When it cannot be found, fetched or loaded.
pub fn unmeasured(settings: &Settings) -> anyhow::Result<Engine> {
    let files = files(&settings.model)?;
    Engine::load(&files, settings.device, settings.threads, &mut |_| ())
}

/// The files of a model; the default model is fetched if it is not here.
///
/// # Errors
/// When it cannot be found or fetched.
pub fn files(model: &str) -> anyhow::Result<ModelFiles> {
    with_bar(|listener| store::ensure(model, listener))
}

/// Run a download with a progress bar that appears with its first bytes. Says in the end where the file is kept.
pub fn with_bar(
    fetch: impl FnOnce(store::Listener) -> anyhow::Result<ModelFiles>,
) -> anyhow::Result<ModelFiles> {
    let mut bar: Option<ProgressBar> = None;
    let mut listener = |progress: Progress| {
        let bar = bar.get_or_insert_with(|| start(progress.total));
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let files = fetch(&mut listener)?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
        if let Some(path) = files.weights.paths().first() {
            tell(format_args!("fetched {}; it is kept at {}", files.manifest.name, path.display()));
        }
    }
    Ok(files)
}

fn start(total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    let template = "fetching the model [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    if !console_is_terminal() {
        tell(format_args!("fetching the model, {} MB", total / 1_000_000));
    }
    bar
}

fn console_is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}
