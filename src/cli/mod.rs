//! The command line: one file per subcommand.

mod bench;
mod complete;
mod doctor;
mod eval;
mod generate;
mod jsonl;
mod loading;
mod models;
mod sample;

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::{Map, Value, json};

use crate::config::{self, DeviceChoice, Layer, Settings, Source};
use crate::oneline::one_line;

/// A language server that types ahead of you: ghost text and code from a small model on your own machine.
#[derive(Parser)]
#[command(name = "foretype", version, about, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of all subcommands.
#[derive(Args, Clone, Default)]
pub struct Global {
    /// A model's name (see `foretype models list`) or the path of a GGUF file
    #[arg(long, global = true, value_name = "NAME|PATH")]
    model: Option<String>,
    /// Where the model runs
    #[arg(long, global = true, value_enum)]
    device: Option<DeviceChoice>,
    /// Threads that compute on the CPU
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Configuration file, instead of the user's own
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log on stderr: error, warn, info, debug, trace, or by module
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the language server on stdin and stdout
    Serve {
        /// Accepted for editors that pass it; there is no other way
        #[arg(long)]
        stdio: bool,
    },
    /// Print what would be inserted at a place of a file
    Complete(complete::Arguments),
    /// Write code for an instruction
    Generate(generate::Arguments),
    /// List, fetch, check and remove models
    Models(models::Arguments),
    /// Show what Foretype found on this machine
    Doctor(doctor::Arguments),
    /// Measure
    Bench(bench::Arguments),
    /// Measure how good a model is
    Eval(eval::Arguments),
}

/// Parse the command line and run it: 0 ok, 1 failed, 2 usage.
pub fn main() -> ExitCode {
    let parsed = match CommandLine::try_parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let CommandLine { global, command } = parsed;
    start_log(global.log.as_deref());
    let result = match command {
        Command::Serve { stdio: _ } => crate::server::serve(global.layer(), global.config.clone()),
        Command::Complete(arguments) => complete::run(&global, &arguments),
        Command::Generate(arguments) => generate::run(&global, &arguments),
        Command::Models(arguments) => models::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&global, &arguments),
        Command::Bench(arguments) => bench::run(&global, &arguments),
        Command::Eval(arguments) => eval::run(&global, &arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// The reader of our output has gone: that is its right.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// A line for the user on stderr, if somebody reads it.
fn tell(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "foretype: {text}");
}

fn start_log(filter: Option<&str>) {
    let filter = match filter {
        // A bare level speaks of Foretype; libraries stay at warnings.
        Some(level) if !level.contains(['=', ',']) => format!("warn,foretype={level}"),
        Some(filter) => filter.to_owned(),
        None => std::env::var("FORETYPE_LOG").unwrap_or_else(|_| "warn".to_owned()),
    };
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).unwrap_or_else(|error| {
        tell(format_args!("the log filter {filter:?} is not understood ({error}); warnings are shown"));
        tracing_subscriber::EnvFilter::new("warn")
    });
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

impl Global {
    /// The flags as another Foretype takes them.
    fn flags(&self) -> Vec<String> {
        let device = self.device.map(|device| json!(device).as_str().unwrap_or_default().to_owned());
        let flags = [
            ("--model", self.model.clone()),
            ("--device", device),
            ("--threads", self.threads.map(|threads| threads.to_string())),
            ("--config", self.config.as_ref().map(|path| path.display().to_string())),
            ("--log", self.log.clone()),
        ];
        flags
            .into_iter()
            .flat_map(|(flag, value)| value.map(|value| [flag.to_owned(), value]))
            .flatten()
            .collect()
    }

    /// The flags as a layer of settings.
    fn layer(&self) -> Layer {
        let mut values = Map::new();
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.insert(key.to_owned(), value);
            }
        };
        set("model", self.model.as_ref().map(|model| json!(model)));
        set("device", self.device.map(|device| json!(device)));
        set("threads", self.threads.map(|threads| json!(threads)));
        Layer::json(Source::CommandLine, Value::Object(values))
    }

    /// The settings of a run in the current folder. What is wrong with them is said on stderr.
    fn settings(&self) -> Settings {
        let mut layers = vec![self.layer()];
        let mut notices = Vec::new();
        let workspace = std::env::current_dir().ok().and_then(|folder| config::workspace_file(&folder));
        for (layer, said) in workspace.into_iter().chain(config::user_file(self.config.as_deref())) {
            layers.push(layer);
            notices.extend(said);
        }
        let (settings, said) = config::resolve(layers);
        for notice in notices.into_iter().chain(said) {
            tell(notice.0);
        }
        settings
    }
}
