//! `foretype doctor`: what was found on this machine, what is used, and how fast it is.

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{Global, bench, sample};
use crate::config;
use crate::engine::{Engine, Flow, Limits, Prompt};
use crate::interrupt::Interrupt;
use crate::model::store;
use crate::oneline::one_line;

#[derive(Args)]
pub struct Arguments {
    /// Print an object
    #[arg(long)]
    json: bool,
}

/// Editors that are looked for, by program and how they are asked for their version.
const EDITORS: &[(&str, &str)] = &[
    ("code", "--version"),
    ("codium", "--version"),
    ("code-server", "--version"),
    ("nvim", "--version"),
    ("hx", "--version"),
    ("emacs", "--version"),
    ("subl", "--version"),
    ("zed", "--version"),
];

pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let settings = global.settings();
    let (model, healthy) = model(&settings);
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "healthy": healthy,
        "cpu": {
            "cores": num_cpus::get_physical(),
            "threads": num_cpus::get(),
            "features": cpu_features(),
        },
        "model": model,
        "models_folder": store::folder().map(|folder| folder.display().to_string()).ok(),
        "config_files": config_files(global),
        "editors": editors(),
    });
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{report}")?;
    } else {
        print(&mut out, &report, 0)?;
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What can be said of the model, and whether it works. Nothing is fetched here.
fn model(settings: &config::Settings) -> (Value, bool) {
    if let Some(remote) = &settings.remote {
        return match answer_ms(remote) {
            Ok((ms, fim)) => {
                (json!({"name": remote.model, "url": remote.url, "answer_ms": ms, "fim": fim}), true)
            }
            Err(error) => {
                (json!({"name": remote.model, "url": remote.url, "problem": one_line(&error)}), false)
            }
        };
    }
    let files = match store::find(&settings.model) {
        Ok((_, Some(files))) => files,
        Ok((manifest, None)) => {
            let hint = format!("not on this machine; `foretype models pull {}` fetches it", manifest.name);
            return (json!({"name": manifest.name, "problem": hint}), false);
        }
        Err(error) => return (json!({"name": settings.model, "problem": one_line(&error)}), false),
    };
    let started = std::time::Instant::now();
    let loaded = Engine::load(&files, settings.device, settings.threads, &mut |_| ());
    let load_ms = started.elapsed().as_millis() as u64;
    let measured = loaded.and_then(|mut engine| {
        let speed = bench::measure(&mut engine, 256, 32, 3)?;
        engine.measure()?;
        let key = sample::keys(&mut engine, settings)?;
        let memory = engine.memory();
        Ok(json!({
            "name": files.manifest.name,
            "files": files.weights.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            "kernels": engine.kernels(),
            "threads": engine.threads(),
            "load_ms": load_ms,
            "prefill_tokens_per_second": speed.prefill.round(),
            "decode_tokens_per_second": speed.decode.round(),
            "weights_mb": memory.weights / 1_000_000,
            "kv_cache_mb": memory.kv_cache / 1_000_000,
            "key": key,
            "fim": engine.manifest().fim.is_some(),
        }))
    });
    match measured {
        Ok(report) => (report, true),
        Err(error) => (json!({"name": files.manifest.name, "problem": one_line(&error)}), false),
    }
}

/// How long a remote takes for a token, and whether its model fills in the middle.
fn answer_ms(remote: &config::Remote) -> anyhow::Result<(u64, bool)> {
    let mut engine = Engine::remote(remote)?;
    let prompt = engine.tokenize("fn main() {");
    let limits = Limits { max_tokens: 1, time: None };
    let started = std::time::Instant::now();
    engine.run(Prompt::of(&prompt), limits, &Interrupt::new(), &mut |_| Flow::Continue)?;
    Ok((started.elapsed().as_millis() as u64, engine.manifest().fim.is_some()))
}

fn cpu_features() -> Vec<&'static str> {
    let mut found = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! look {
            ($($name:tt),*) => { $(if std::arch::is_x86_feature_detected!($name) { found.push($name); })* };
        }
        look!("avx2", "fma", "f16c", "avxvnni", "avx512f", "avx512bw", "avx512vnni", "avx512bf16");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! look {
            ($($name:tt),*) => { $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })* };
        }
        look!("neon", "dotprod", "i8mm", "bf16");
    }
    found
}

fn config_files(global: &Global) -> Vec<Value> {
    let user = global.config.clone().or_else(config::user_path);
    let workspace = std::env::current_dir().ok().map(|folder| folder.join(config::WORKSPACE_FILE));
    let files = [workspace, user].into_iter().flatten();
    files.map(|path| json!({"path": path.display().to_string(), "read": path.exists()})).collect()
}

fn editors() -> Vec<Value> {
    let version = |(program, flag): &(&str, &str)| {
        let run = Command::new(program).arg(flag).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&run.stdout).lines().next().unwrap_or_default().trim().to_owned();
        Some(json!({"program": program, "version": text}))
    };
    EDITORS.iter().filter_map(version).collect()
}

/// An object as indented lines for people.
fn print(out: &mut impl Write, value: &Value, depth: usize) -> std::io::Result<()> {
    let indent = "  ".repeat(depth);
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::Object(_) => {
                        writeln!(out, "{indent}{key}:")?;
                        print(out, value, depth + 1)?;
                    }
                    Value::Array(values) if values.iter().all(|value| !value.is_object()) => {
                        writeln!(
                            out,
                            "{indent}{key}: {}",
                            values.iter().map(plain).collect::<Vec<_>>().join(" ")
                        )?;
                    }
                    Value::Array(values) => {
                        writeln!(out, "{indent}{key}:")?;
                        for value in values {
                            let parts =
                                value.as_object().into_iter().flatten().map(|(_, value)| plain(value));
                            writeln!(out, "{indent}  {}", parts.collect::<Vec<_>>().join("  "))?;
                        }
                    }
                    _ => writeln!(out, "{indent}{key}: {}", plain(value))?,
                }
            }
        }
        other => writeln!(out, "{indent}{}", plain(other))?,
    }
    Ok(())
}
