//! `file:` URIs to paths and back (RFC 8089), as editors write them.

use std::path::{Path, PathBuf};

/// The path of a `file:` URI; `None` for any other, such as `untitled:`.
pub fn path_of_uri(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let path = &rest[rest.find('/')?..];
    let path = percent_decode(path)?;
    // "/c:/x" is how Windows paths are written.
    let bytes = path.as_bytes();
    let has_drive = bytes.len() > 2 && bytes[1].is_ascii_alphabetic() && bytes[2] == b':';
    Some(PathBuf::from(if has_drive { &path[1..] } else { &path }))
}

/// The `file:` URI of a path.
pub fn uri_of_path(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut uri = format!("file://{slash}");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                uri.push(byte as char)
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
        bytes.push((digit(rest.next())? * 16 + digit(rest.next())?) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_uris_are_paths_and_others_are_not() {
        let check =
            |uri, expected: Option<&str>| assert_eq!(path_of_uri(uri), expected.map(PathBuf::from), "{uri}");
        check("file:///a/b%20c.rs", Some("/a/b c.rs"));
        check("file:///c%3A/x.rs", Some("c:/x.rs"));
        check("file:///a/%F0%9F%A6%80.rs", Some("/a/🦀.rs"));
        check("file:///a/%F", None);
        check("untitled:Untitled-1", None);
        check("file://", None);
    }

    #[test]
    fn a_path_survives_the_way_there_and_back() {
        for path in ["/a/b c#d%.rs", "/ü/🦀", "/x"] {
            assert_eq!(path_of_uri(&uri_of_path(Path::new(path))), Some(PathBuf::from(path)));
        }
    }
}
