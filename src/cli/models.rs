//! `foretype models`: list, show, fetch, check and remove models.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::{loading, tell};
use crate::model::manifest::{self, Manifest, Source};
use crate::model::store;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// All models of the catalogue, and which are on this machine
    List {
        /// One object a line
        #[arg(long)]
        json: bool,
    },
    /// Everything about one model
    Show {
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model
    Pull { name: String },
    /// Check a model's files against their hashes
    Verify { name: String },
    /// Remove a model's files from this machine
    Remove { name: String },
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &arguments.action {
        Action::List { json } => {
            for manifest in manifest::catalogue() {
                let facts = facts(&manifest);
                if *json {
                    writeln!(out, "{facts}")?;
                } else {
                    let mark = |yes, mark| if yes { mark } else { "" };
                    let default = mark(facts["default"] == true, " (default)");
                    let installed = mark(facts["installed"] == true, " [on this machine]");
                    let unsupported = mark(facts["supported"] == false, " [not supported yet]");
                    writeln!(
                        out,
                        "{:22}{}{default}{installed}{unsupported}",
                        manifest.name, manifest.description
                    )?;
                }
            }
        }
        Action::Show { name, json } => {
            let (manifest, _) = store::find(name)?;
            let facts = facts(&manifest);
            if *json {
                writeln!(out, "{facts}")?;
            } else if let Value::Object(facts) = facts {
                for (key, value) in facts {
                    writeln!(
                        out,
                        "{key:14}{}",
                        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                    )?;
                }
            }
        }
        Action::Pull { name } => {
            let (manifest, _) = store::find(name)?;
            if manifest.check_supported().is_err() {
                tell(format_args!("{name} can be fetched but not used yet: its family has no decoder here"));
            }
            let files = loading::with_bar(|listener| store::pull(&manifest, listener))?;
            for path in files.weights.paths() {
                writeln!(out, "{}", path.display())?;
            }
            if files.weights.paths().is_empty() {
                writeln!(out, "{} is part of the program", manifest.name)?;
            }
        }
        Action::Verify { name } => writeln!(out, "{}", store::verify(&store::find(name)?.0)?)?,
        Action::Remove { name } => {
            let manifest = manifest::find(name)?;
            let removed = store::remove(&manifest)?;
            writeln!(
                out,
                "{} {}",
                manifest.name,
                if removed { "was removed" } else { "was not on this machine" }
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn facts(manifest: &Manifest) -> Value {
    let files = store::find(&manifest.name).ok().and_then(|(_, files)| files);
    let source = match &manifest.source {
        Source::Embedded { .. } => "part of the program".to_owned(),
        Source::Pip { package, version, .. } => format!("Python package {package} {version}"),
        Source::Hub { repository, .. } => format!("hub repository {repository}"),
        Source::Path { path } => path.clone(),
    };
    json!({
        "name": manifest.name,
        "description": manifest.description,
        "parameters": format!("{} M", manifest.parameters),
        "license": manifest.license,
        "family": manifest.family,
        "context": manifest.context,
        "fim": manifest.fim.is_some(),
        "instructions": manifest.instruction.is_some(),
        "source": source,
        "supported": manifest.check_supported().is_ok(),
        "default": manifest.name == manifest::default_name(),
        "installed": files.is_some(),
        "files": files.map(|files| files.weights.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>()),
    })
}
