//! Layers of settings: checked key by key, the first that sets a key wins.

use serde_json::{Map, Value};

use crate::config::{Exclude, Options, Settings};

/// Where a layer comes from, in the order of their weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Flags of the command line.
    CommandLine,
    /// `initializationOptions`.
    Client,
    /// `workspace/configuration`.
    Editor,
    /// `.foretype.toml` in the workspace: from a repository, so trusted least.
    Workspace,
    /// The user's own file.
    User,
}

/// Settings from one place, unchecked.
#[derive(Clone, Debug)]
pub struct Layer {
    source: Source,
    values: Value,
}

/// Something that the user should be told once, with a hint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice(pub String);

impl Layer {
    /// A layer as a client or a file gives it.
    pub fn json(source: Source, values: Value) -> Self {
        Self { source, values }
    }

    /// A layer that sets nothing.
    pub fn empty(source: Source) -> Self {
        Self { source, values: Value::Null }
    }
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::CommandLine => "the command line",
            Self::Client => "the editor's initializationOptions",
            Self::Editor => "the editor's settings",
            Self::Workspace => "the workspace's .foretype.toml",
            Self::User => "the user's config.toml",
        }
    }
}

/// The settings that these layers give together, and what to tell the user: unknown keys, values of a wrong type, and
/// what a workspace may not set.
pub fn resolve(mut layers: Vec<Layer>) -> (Settings, Vec<Notice>) {
    layers.sort_by_key(|layer| layer.source);
    let mut notices = Vec::new();
    let mut merged = Map::new();
    for layer in layers {
        let source = layer.source;
        match layer.values {
            Value::Object(values) => {
                for (key, value) in values {
                    match check(source, &key, &value) {
                        Ok(()) => {
                            merged.entry(key).or_insert(value);
                        }
                        Err(Some(notice)) => notices.push(notice),
                        Err(None) => {}
                    }
                }
            }
            Value::Null => {}
            _ => notices.push(Notice(format!("{}: expected a table of settings", source.name()))),
        }
    }
    let options = serde_json::from_value::<Options>(Value::Object(merged)).unwrap_or_default();
    let (settings, broken) = settings(options);
    notices.extend(broken.into_iter().map(Notice));
    (settings, notices)
}

/// Whether a layer may set this key to this value. A key that belongs to the client alone is passed over in silence.
fn check(source: Source, key: &str, value: &Value) -> Result<(), Option<Notice>> {
    const OF_CLIENTS: &[&str] = &["server", "trace"];
    let tell = |text: String| Err(Some(Notice(format!("{}: {text}", source.name()))));
    if OF_CLIENTS.contains(&key) || value.is_null() {
        return Err(None);
    }
    let known = keys();
    if !known.iter().any(|known| known == key) {
        let hint = match nearest(key, &known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("known: {}", known.join(", ")),
        };
        return tell(format!("there is no setting `{key}`; {hint}"));
    }
    let alone = Map::from_iter([(key.to_owned(), value.clone())]);
    if let Err(error) = serde_json::from_value::<Options>(Value::Object(alone)) {
        return tell(format!("`{key}` is not used: {error}"));
    }
    if source == Source::Workspace {
        let is_path =
            value.as_str().is_some_and(|name| name.contains(['/', '\\']) || name.ends_with(".gguf"));
        if key == "remote" || (key == "model" && is_path) {
            return tell(format!("`{key}` is not used: a workspace can't name a remote or a model's path"));
        }
    }
    Ok(())
}

/// Names of all settings.
pub fn keys() -> Vec<String> {
    let schema = schemars::schema_for!(Options);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// The known key that differs least, if it differs little.
fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a String> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let key = plain(key);
    let distance = |known: &String| edit_distance(&key, &plain(known));
    known.iter().min_by_key(|known| distance(known)).filter(|known| distance(known) <= 3.min(key.len() / 2))
}

/// Levenshtein's distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

fn settings(options: Options) -> (Settings, Vec<String>) {
    let defaults = Options::defaults();
    let globs = options.exclude.or(defaults.exclude).unwrap_or_default();
    let (exclude, broken) = Exclude::new(&globs);
    let threads = options.threads.or(defaults.threads).unwrap_or(0);
    let budget = options.budget_ms.or(defaults.budget_ms).unwrap_or(0).max(10);
    let settings = Settings {
        model: options.model.or(defaults.model).unwrap_or_default(),
        device: options.device.or(defaults.device).unwrap_or_default(),
        threads: (threads > 0).then_some(threads),
        budget: std::time::Duration::from_millis(budget),
        max_tokens: options.max_tokens.or(defaults.max_tokens).unwrap_or(0).clamp(1, 1024),
        multiline: options.multiline.or(defaults.multiline).unwrap_or_default(),
        eagerness: options.eagerness.or(defaults.eagerness).unwrap_or(0.0).clamp(0.0, 1.0),
        languages: options.languages.or(defaults.languages).unwrap_or_default(),
        exclude,
        remote: options.remote.or(defaults.remote),
        statistics: options.statistics.or(defaults.statistics).unwrap_or(false),
    };
    (settings, broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn notices_of(source: Source, values: Value) -> Vec<String> {
        resolve(vec![Layer::json(source, values)]).1.into_iter().map(|notice| notice.0).collect()
    }

    #[test]
    fn the_first_layer_that_sets_a_key_wins() {
        let (settings, notices) = resolve(vec![
            Layer::json(Source::User, json!({"maxTokens": 10, "budgetMs": 100, "eagerness": 0.9})),
            Layer::json(Source::Client, json!({"maxTokens": 20})),
            Layer::json(Source::Workspace, json!({"maxTokens": 30, "budgetMs": 200})),
        ]);
        assert_eq!(notices, []);
        assert_eq!((settings.max_tokens, settings.budget.as_millis(), settings.eagerness), (20, 200, 0.9));
    }

    #[test]
    fn bad_keys_are_named_and_the_rest_is_used() {
        let (settings, notices) = resolve(vec![Layer::json(
            Source::Client,
            json!({"max_tokens": 5, "budgetMs": "soon", "multiline": "never", "server": {"path": "x"}, "model": null}),
        )]);
        assert_eq!(settings.multiline, crate::config::Multiline::Never);
        let notices: Vec<_> = notices.into_iter().map(|notice| notice.0).collect();
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert!(notices.iter().any(|notice| notice.contains("did you mean `maxTokens`?")), "{notices:?}");
        assert!(notices.iter().any(|notice| notice.contains("`budgetMs` is not used")), "{notices:?}");
        assert_eq!(notices_of(Source::Client, json!([])).len(), 1);
        assert_eq!(notices_of(Source::Client, json!({"exclude": ["a[", "*.rs"]})).len(), 1);
    }

    #[test]
    fn a_workspace_cannot_choose_a_path_or_a_remote() {
        let values = json!({"model": "/tmp/evil.gguf", "remote": {"url": "http://x", "model": "y"}});
        let (settings, notices) = resolve(vec![Layer::json(Source::Workspace, values.clone())]);
        assert_eq!((settings.model.as_str(), settings.remote), ("default", None));
        assert_eq!(notices.len(), 2);
        assert_eq!(resolve(vec![Layer::json(Source::User, values)]).0.model, "/tmp/evil.gguf");
        assert_eq!(notices_of(Source::Workspace, json!({"model": "smollm2-135m"})), Vec::<String>::new());
    }
}
