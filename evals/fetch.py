#!/usr/bin/env python3
"""Fetches the packages of packages.tsv, on which `foretype eval holes` and `typing` measure, with each registry's own client.

Usage: evals/fetch.py [--out .cache/evals] [--only LANGUAGE...]

They are the evaluation reserve: packages whose name's SHA-256 begins with the digit 0 are never trained on. Source
files go to OUT/LANGUAGE/PACKAGE-VERSION/. Needs pip, npm, cargo, and for Go, C, C++ and Java apt-get on Debian 12 or a
derivative; Debian's sources are read from the mirror that apt is set up for, apart from the system's lists.
"""
import argparse, hashlib, io, os, pathlib, re, shutil, subprocess, sys, tarfile, tempfile, zipfile

HERE = pathlib.Path(__file__).resolve().parent
ENDINGS = {
    "python": (".py",), "rust": (".rs",), "typescript": (".ts", ".tsx"), "javascript": (".js", ".mjs", ".cjs"),
    "go": (".go",), "c": (".c", ".h"), "cpp": (".cpp", ".cc", ".hpp", ".h"), "java": (".java",),
}
SKIPPED = ("/test", "/dist/", "/build/", "/vendor/", "/node_modules/", "/debian/", ".min.", ".d.ts", "/es/", "/umd/", "_test.go")


def is_reserve(name):
    return hashlib.sha256(name.lower().replace("_", "-").encode()).hexdigest()[0] == "0"


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, **options)


def pypi(name, version, folder):
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check",
        "--dest", folder, f"{name}=={version}")


def npm(name, version, folder):
    run("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder, f"{name}@{version}")


def crates(name, version, folder):
    (folder / "src").mkdir()
    (folder / "src/lib.rs").touch()
    (folder / "Cargo.toml").write_text(
        f'[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n"{name}" = "={version}"\n')
    run("cargo", "fetch", "--quiet", cwd=folder, env=dict(os.environ, CARGO_HOME=str(folder / "home")))
    (found,) = (folder / "home/registry/cache").glob(f"*/{name}-{version}.crate")
    shutil.copy(found, folder)


def debian_sources():
    """A line of apt's sources, for the first mirror of Debian that the system has."""
    for path in [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]:
        lines = path.read_text().splitlines() if path.is_file() and path.suffix in (".list", ".sources") else []
        for line in lines:
            mirror = re.search(r"^[^#]*?(https?://\S+/debian/?)(\s|$)", line)
            if mirror:
                return f"deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror[1]} bookworm main\n"
    sys.exit("no mirror of Debian is among apt's sources")


def debian(name, version, folder):
    root = pathlib.Path(tempfile.gettempdir()) / "foretype-debian-sources"
    places = [("Dir::Etc::SourceList", root / "sources.list"), ("Dir::Etc::SourceParts", "/nonexistent"), ("Dir::State", root),
              ("Dir::State::Lists", root / "lists"), ("Dir::State::status", root / "status"), ("Dir::Cache", root / "cache"),
              ("APT::Sandbox::User", "root")]
    options = [part for key, value in places for part in ("-o", f"{key}={value}")]
    if not root.exists():
        for part in ("lists/partial", "cache/archives/partial"):
            (root / part).mkdir(parents=True)
        (root / "status").touch()
        (root / "sources.list").write_text(debian_sources())
        run("apt-get", "-qq", *options, "update")
    run("apt-get", "-qq", *options, "source", "--only-source", "--download-only", "--tar-only", f"{name}={version}",
        cwd=folder)


def members(archive):
    """Path without its first folder where all have one, and text of every file of an archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as z:
            for info in z.infolist():
                yield info.filename, z.read(info)
    else:
        with tarfile.open(archive) as t:
            for info in t:
                if info.isfile():
                    yield info.name.partition("/")[2], t.extractfile(info).read()


def hand_written(path, data, language):
    if not path.endswith(ENDINGS[language]) or any(part in "/" + path.lower() for part in SKIPPED) or not 600 < len(data) < 200_000:
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    head = text[:1000].lower()
    return None if "generated" in head or max(map(len, text.splitlines())) > 300 else text


def fetch(language, registry, name, version, out):
    assert is_reserve(name), f"{name} is no package of the reserve"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        {"pypi": pypi, "npm": npm, "crates": crates, "debian": debian}[registry](name, version, folder)
        archives = [p for p in folder.iterdir() if p.suffix in (".whl", ".tgz", ".crate", ".gz", ".xz", ".bz2")]
        target = out / language / f"{name.replace('/', '-')}-{version.replace(':', '-')}"
        files = 0
        for archive in archives:
            for path, data in members(archive):
                text = hand_written(path, data, language)
                if text and ".." not in path.split("/"):
                    (target / path).parent.mkdir(parents=True, exist_ok=True)
                    (target / path).write_text(text, newline="")
                    files += 1
        print(f"{language}\t{registry}\t{name}\t{version}\t{files} files", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / ".cache/evals")
    parser.add_argument("--only", nargs="*", help="languages")
    options = parser.parse_args()
    rows = [line.split("\t") for line in (HERE / "packages.tsv").read_text().splitlines() if line and not line.startswith("#")]
    failed = 0
    for language, registry, name, version in rows:
        if options.only and language not in options.only:
            continue
        try:
            fetch(language, registry, name, version, options.out)
        except subprocess.CalledProcessError as error:
            print(f"{name} {version} cannot be fetched: {error.cmd[0]} says why, or failed with {error.returncode}", file=sys.stderr)
            failed += 1
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
