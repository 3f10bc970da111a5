//! Reads what is desired from a file, or from all files of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::desired::Desired;
use crate::cli::Failure;

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What all files together say.
pub(super) fn read(path: &Path) -> Result<Desired, Failure> {
    let mut files = Vec::new();
    gather(path, &mut files).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    if files.is_empty() {
        let endings = ENDINGS.join(", .");
        return Err(format!("{} holds no file that ends in .{endings}", path.display()).into());
    }
    let mut desired = Desired::default();
    let mut places = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file)
            .map_err(|error| format!("failed to read {}: {error}", file.display()))?;
        let documents: Vec<Desired> = serde_saphyr::from_multiple(&text).map_err(|error| {
            format!("{} is not as it should be (see `proctor schema`): {error}", file.display())
        })?;
        for document in documents {
            let connections = document.connections.iter().map(|connection| ("connection", &connection.name));
            let servers = document.virtual_servers.iter().map(|server| ("virtual server", &server.name));
            for (kind, name) in connections.chain(servers) {
                if let Some(before) = places.insert((kind, name.clone()), file.clone()) {
                    let (before, now) = (before.display(), file.display());
                    return Err(
                        format!("{kind} {name} stands in {before} and in {now}: leave one out").into()
                    );
                }
            }
            desired.connections.extend(document.connections);
            desired.virtual_servers.extend(document.virtual_servers);
        }
    }
    Ok(desired)
}

/// The files of a folder and of those below it, in the order of their names.
fn gather(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        let is_file = path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        if !is_hidden && (path.is_dir() || is_file) {
            gather(&path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(files: &[(&str, &str)]) -> Result<Desired, String> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("proctor-files-{}-{next}", std::process::id()));
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let read = read(&folder).map_err(|error| error.to_string());
        fs::remove_dir_all(folder).unwrap();
        read
    }

    #[test]
    fn all_files_of_a_folder_are_read_and_all_documents_of_a_file() {
        let desired = reading(&[
            ("b.yaml", "virtual_servers:\n- {name: desk, tools: []}\n"),
            ("a/one.yml", "connections:\n- name: x\n  transport: {type: http, url: 'https://x.example'}\n---\nconnections: []\n"),
            ("c.json", r#"{"virtual_servers": [{"name": "lab", "tools": []}]}"#),
            (".hidden.yaml", "nonsense"),
            ("notes.txt", "nonsense"),
        ])
        .unwrap();
        let names: Vec<_> = desired.virtual_servers.iter().map(|server| server.name.as_str()).collect();
        assert_eq!((desired.connections.len(), names), (1, vec!["desk", "lab"]));
    }

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_field() {
        let text = "virtual_servers:\n- name: desk\n  tools:\n  - {connection: notes, toool: echo}\n";
        let wrong = reading(&[("desk.yaml", text)]).unwrap_err();
        assert!(wrong.contains("desk.yaml") && wrong.contains("toool") && wrong.contains('4'), "{wrong}");
        assert!(wrong.contains("fixed_arguments"), "what would be right: {wrong}");
        let twice = "virtual_servers:\n- {name: desk, tools: []}\n";
        let wrong = reading(&[("a.yaml", twice), ("b.yaml", twice)]).unwrap_err();
        assert!(wrong.contains("desk stands in") && wrong.contains("b.yaml"), "{wrong}");
        assert!(reading(&[("x.txt", "")]).unwrap_err().contains("holds no file"));
    }

    #[test]
    fn a_secret_can_only_be_referred_to() {
        let text = "connections:\n- name: x\n  transport: {type: http, url: 'https://x.example'}\n  \
                    auth: {type: header, name: X-Key, value: plain}\n";
        let wrong = reading(&[("x.yaml", text)]).unwrap_err();
        assert!(wrong.contains("from_env") && wrong.contains("from_file"), "{wrong}");
    }
}
