//! The command line: what it prints, one clear line for what is wrong, and its exit codes.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::program::{file, foretype, run};
use common::real_model;
use common::tiny_model::Tiny;
use foretype::kernels::{LEVEL_VARIABLE, Level};
use serde_json::Value;

#[test]
fn what_is_wrong_gets_one_line_and_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let source = file(folder.path(), "a.rs", "let a = 1;\n");
    let broken = file(folder.path(), "broken.gguf", "GGUF and then nothing of the sort");
    let place = format!("{source}:1:1");
    let secret = file(folder.path(), ".env", "KEY=1\n");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["complete", "/no/such/file.rs:1:1"], 1, "cannot read /no/such/file.rs"),
        (&["complete", &format!("{source}:99:1")], 1, "has 2 lines, not 99"),
        (&["complete", &source], 2, "write FILE:LINE:COL"),
        (&["complete", &format!("{source}:0:1")], 2, "write FILE:LINE:COL"),
        (&["complete", &format!("{secret}:1:5")], 1, "kept from the model"),
        (&["generate", "another key", "--file", &secret], 1, "kept from the model"),
        (&["models", "pull", "nothing"], 1, "foretype models list"),
        (&["--model", &broken, "complete", &place], 1, "not a readable GGUF file"),
        (&["--model", &source, "complete", &place], 1, "not a readable GGUF file"),
        (&["--model", "starcoder2-3b", "complete", &place], 1, "supported: llama, qwen2"),
    ];
    for (arguments, expected, hint) in cases {
        let (code, output, errors) = run(foretype().args(*arguments));
        let last = errors.trim_end().lines().last().unwrap_or_default();
        assert_eq!((code, output.as_str()), (*expected, ""), "{arguments:?}: {errors}");
        assert!(last.starts_with("foretype: ") && last.contains(hint), "{arguments:?}: {errors}");
    }
    // A wrong configuration is told; the rest goes on without it.
    let whole = folder.path().join("whole.gguf");
    Tiny::default().write(&whole);
    let wrong = file(folder.path(), "wrong.toml", "modle = 3\nthreads = \"many\"\n");
    for (config, hints) in [("/no/such.toml", &["check --config"][..]), (&wrong, &["modle", "threads"])] {
        let flags = ["--model", whole.to_str().unwrap(), "--config", config, "complete", &place];
        let (code, _, errors) = run(foretype().args(flags));
        assert!(code == 0 && hints.iter().all(|hint| errors.contains(hint)), "{config}: {code} {errors}");
    }
    for arguments in [&["nonsense"][..], &["complete"], &["models", "show"]] {
        assert_eq!(run(foretype().args(arguments)).0, 2, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["models", "list"]] {
        assert_eq!(run(foretype().args(arguments)).0, 0, "{arguments:?}");
    }
}

#[test]
fn a_weights_file_that_ends_too_early_is_told_from_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.gguf");
    Tiny::default().write(&whole);
    let bytes = std::fs::read(&whole).unwrap();
    let place = file(folder.path(), "a.rs", "let a = 1;\n") + ":1:9";
    for length in [0, 3, 20, 200, bytes.len() / 2, bytes.len() - 1] {
        let cut = folder.path().join("cut.gguf");
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let (code, _, errors) = run(foretype().args(["--model", cut.to_str().unwrap(), "complete", &place]));
        assert!(code == 1 && errors.lines().count() == 1, "{length} bytes: {errors}");
    }
    assert_eq!(run(foretype().args(["--model", whole.to_str().unwrap(), "complete", &place])).0, 0);
}

#[test]
fn the_real_model_completes_a_line_that_anyone_could() {
    real_model::files();
    let folder = tempfile::tempdir().unwrap();
    let lines = (1..=9).map(|n| format!("number_{n} = {n}\n")).collect::<String>();
    let place = file(folder.path(), "numbers.py", &(lines + "number_10 =")) + ":10:12";
    let model = real_model::path();
    let (code, output, errors) = run(foretype().args(["complete", &place]));
    assert_eq!((code, output.trim()), (0, "10"), "{errors}");
    let (code, output, errors) =
        run(foretype().args(["--model", model.to_str().unwrap(), "complete", "--json", &place]));
    assert_eq!(code, 0, "{errors}");
    let answer: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(answer["text"].as_str().map(str::trim), Some("10"), "{answer}");
}

#[test]
fn each_line_of_jsonl_gets_one_answer_and_a_bad_one_an_error() {
    real_model::files();
    let mut child = foretype()
        .args(["complete", "--jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let requests = [
        r#"{"prefix": "a1 = 1\na2 = 2\na3 = 3\na4 =", "suffix": "\n", "language": "python"}"#,
        "{this is no JSON",
        r#"{"suffix": 3}"#,
        r#"{"prefix": "b1 = 1\nb2 = 2\nb3 = 3\nb4 =", "suffix": "\n", "path": "b.py"}"#,
    ];
    child.stdin.take().unwrap().write_all((requests.join("\n") + "\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let output = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), requests.len(), "{output}");
    for good in [0, 3] {
        assert_eq!(answers[good]["text"].as_str().map(str::trim), Some("4"), "{output}");
    }
    for bad in [1, 2] {
        assert!(answers[bad]["error"].is_string(), "{output}");
    }
}

#[test]
fn the_first_command_of_the_readme_prints_a_completion() {
    real_model::files();
    let readme = include_str!("../README.md");
    let command = readme.lines().find_map(|line| line.strip_prefix("cargo run --release -- ")).unwrap();
    let mut foretype = foretype();
    let (code, output, errors) =
        run(foretype.current_dir(env!("CARGO_MANIFEST_DIR")).args(command.split_whitespace()));
    assert_eq!(code, 0, "{errors}");
    assert!(readme.contains(&format!("`{}`", output.trim())), "it prints {output:?}: {errors}");
    assert!(!output.trim().is_empty(), "it prints nothing: {errors}");
}

#[test]
fn the_embedded_model_is_part_of_the_program() {
    let empty = tempfile::tempdir().unwrap();
    let alone = |arguments: &[&str]| {
        let mut command = foretype();
        run(command.env("FORETYPE_HOME", empty.path()).env("FORETYPE_OFFLINE", "1").args(arguments))
    };
    let (_, listed, _) = alone(&["models", "list", "--json"]);
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| listed.iter().find(|model| model["name"] == name).unwrap();
    let place = file(empty.path(), "a.py", "a1 = 1\na2 = 2\na3 = ") + ":3:6";
    let carries = real_model::is_embedded();
    assert_eq!(of("foretype-135m")["default"], carries);
    assert_eq!(of("foretype-135m")["installed"], carries);
    assert_eq!(of("smollm2-135m")["default"], !carries);
    let (code, _, errors) = alone(&["--model", "foretype-135m", "complete", &place]);
    if carries {
        // No folder of models, no network: everything needed is in the program.
        assert_eq!(code, 0, "{errors}");
        assert_eq!(alone(&["complete", &place]).0, 0);
        assert_eq!(alone(&["models", "pull", "foretype-135m"]).0, 0);
        assert_eq!(alone(&["models", "verify", "foretype-135m"]).0, 0);
        let (code, _, errors) = alone(&["models", "remove", "foretype-135m"]);
        assert!(code == 1 && errors.contains("part of the program"), "{errors}");
    } else {
        assert!(code == 1 && errors.contains("built without foretype-135m"), "{errors}");
    }
}

#[test]
fn the_environment_forces_each_level_of_the_kernels_that_the_cpu_has() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.gguf");
    Tiny::default().write(&whole);
    let run_at = |level: &str| {
        let mut command = foretype();
        command.env(LEVEL_VARIABLE, level).args(["--device", "cpu", "--model", whole.to_str().unwrap()]);
        let sizes = ["--prompt", "8", "--generate", "4", "--repeat", "1"];
        let (code, output, errors) = run(command.args(["bench", "model", "--json"]).args(sizes));
        assert_eq!(code, 0, "{level}: {errors}");
        let report: Value = serde_json::from_str(&output).unwrap();
        (report["kernels"].as_str().unwrap().to_owned(), errors)
    };
    let (available, others): (Vec<_>, Vec<_>) =
        Level::ALL.into_iter().partition(|level| level.is_available());
    let names: Vec<&str> = available.into_iter().map(Level::name).collect();
    for name in &names {
        assert_eq!(run_at(name), ((*name).to_owned(), String::new()));
    }
    // No CPU has the levels of both architectures.
    for wanted in ["sse9", others[0].name()] {
        let (used, errors) = run_at(wanted);
        assert_eq!(used, names[0], "{errors}");
        let warning = format!(
            "{LEVEL_VARIABLE}={wanted} is not available here; using {used} (choices: {})",
            names.join(", ")
        );
        assert!(errors.lines().count() == 1 && errors.contains(&warning), "{errors}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_ends_every_command_quietly() {
    use std::io::Read;
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.gguf");
    Tiny::default().write(&whole);
    let whole = whole.to_str().unwrap();
    let place = format!("{}:1:5", file(folder.path(), "a.rs", "let a = 1;\n"));
    let commands: &[&[&str]] = &[
        &["models", "list"],
        &["models", "list", "--json"],
        &["models", "show", "smollm2-135m"],
        &["doctor"],
        &["doctor", "--json"],
        &["complete", &place],
        &["complete", &place, "--json"],
        &["generate", "a function"],
        &["bench", "model", "--prompt", "8", "--generate", "4", "--repeat", "1"],
        &["nonsense"],
        &["--help"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = foretype();
        child.args(["--model", whole]).args(*arguments).stdout(writer).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        let code = child.wait().unwrap().code();
        assert!(code == Some(0) || *arguments == ["nonsense"], "{arguments:?}: {code:?} {errors}");
        assert!(!errors.contains("panicked") && !errors.contains("pipe"), "{arguments:?}: {errors}");
        // Nor does a panic come of what goes to stderr alone.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = foretype();
        child.args(["--model", whole]).args(*arguments).stdout(Stdio::null()).stderr(writer);
        assert_ne!(child.status().unwrap().code(), Some(101), "{arguments:?}");
    }
}
