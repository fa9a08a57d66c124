//! Whether the program can carry the default model in itself: the feature asks for it, and the weights must be here.

use std::path::Path;

const WEIGHTS: &str = "models/foretype-135m.gguf";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(embedded_weights)");
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_EMBEDDED_MODEL").is_none() {
        return;
    }
    if Path::new(WEIGHTS).exists() {
        println!("cargo::rerun-if-changed={WEIGHTS}");
        println!("cargo::rustc-cfg=embedded_weights");
    } else {
        // A missing file would be looked for, and everything built anew, every time; its folder is not.
        println!("cargo::rerun-if-changed=models");
        println!(
            "cargo::warning={WEIGHTS} is not here: the program is built without a model in it and fetches a lesser one; \
             `--no-default-features` says the same without this warning"
        );
    }
}
