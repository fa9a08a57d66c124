//! Files that are generated from the source hold what it says. `UPDATE_GENERATED=1` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn compare(relative: &str, wanted: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(path(relative), wanted).unwrap();
    }
    let found = std::fs::read_to_string(path(relative)).unwrap_or_default();
    assert!(found == wanted, "{relative} is stale: run `UPDATE_GENERATED=1 cargo test --test generated`");
}

#[test]
fn the_configuration_reference_is_fresh() {
    compare("docs/configuration.md", &foretype::config::reference_markdown());
}

#[test]
fn the_vscode_settings_are_fresh() {
    let relative = "editors/vscode/package.json";
    let text = std::fs::read_to_string(path(relative)).unwrap();
    let mut package: Value = serde_json::from_str(&text).unwrap();
    package["contributes"]["configuration"][1]["properties"] = foretype::config::package_json_properties();
    compare(relative, &format!("{}\n", serde_json::to_string_pretty(&package).unwrap()));
}
