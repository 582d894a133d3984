//! Every file of the library uses only the rooms that its own may use: the table stands in docs/design.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type Rooms = BTreeSet<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// ---- the table

/// The rooms in the order of the table, each with those that it may use.
fn table() -> Vec<(String, Rooms)> {
    let text = std::fs::read_to_string(root().join("docs/design.md")).unwrap();
    let (_, rest) = text.split_once("| room | what lives there | may use |\n").unwrap();
    let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|'));
    let mut all: Vec<(String, Rooms)> = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let (names, used) = (named(cells[0]), cells[cells.len() - 1]);
        let mut may = named(used);
        if used.contains("all above") {
            may.extend(all.iter().map(|(room, _)| room.clone()));
        }
        for room in &may {
            let above = all.iter().any(|(above, _)| above == room);
            assert!(above, "the table of rooms: `{room}` is not above {names:?}, which may use it");
        }
        all.extend(names.into_iter().map(|name| (name, may.clone())));
    }
    all
}

/// What stands between backticks in a cell, but for remarks in brackets.
fn named(cell: &str) -> Rooms {
    let plain: String = cell.split('(').map(|part| part.rsplit(')').next().unwrap()).collect();
    plain.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

// ---- the code

/// Rust's words and signs, without comments, texts and letters.
fn tokens(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(end) = raw_text(rest) {
            end
        } else if first == '"' {
            text(rest)
        } else if first == '\'' {
            letter(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let word = &rest[..end.unwrap_or(rest.len())];
            found.push(word.to_owned());
            word.len()
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

fn raw_text(code: &str) -> Option<usize> {
    let hashes = code.strip_prefix('r')?;
    let marks = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    code[marks + 2..].find(&end).map(|at| marks + 2 + at + end.len())
}

fn text(code: &str) -> usize {
    let mut escaped = false;
    for (at, c) in code.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// A letter in quotes, or the mark of a lifetime.
fn letter(code: &str) -> usize {
    let mut chars = code.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => code[3..].find('\'').map_or(1, |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// A file of the library, read as far as rooms are concerned.
struct Reader {
    tokens: Vec<String>,
    at: usize,
    /// Where the code is: the modules from the crate on.
    place: Vec<String>,
    /// The modules with a file of their own, and whether they are for tests.
    modules: Vec<(String, bool)>,
    used: Rooms,
}

impl Reader {
    fn of(file: &Path, place: &[String]) -> Reader {
        let code = std::fs::read_to_string(file).unwrap();
        let (tokens, place) = (tokens(&code), place.to_vec());
        let mut reader = Reader { tokens, at: 0, place, modules: Vec::new(), used: Rooms::new() };
        while reader.at < reader.tokens.len() {
            reader.item();
        }
        reader
    }

    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", String::as_str)
    }

    fn is(&self, expected: &[&str]) -> bool {
        expected.iter().enumerate().all(|(ahead, token)| self.peek(ahead) == *token)
    }

    /// Goes on by a token, a path, or a module.
    fn item(&mut self) {
        if self.is(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            self.at += 7;
            self.skip_item();
        } else if self.peek(0) == "mod" && self.peek(2) == "{" {
            self.place.push(self.peek(1).to_owned());
            self.at += 3;
            while self.peek(0) != "}" {
                self.item();
            }
            self.at += 1;
            self.place.pop();
        } else if self.peek(0) == "mod" && self.peek(2) == ";" {
            self.modules.push((self.peek(1).to_owned(), false));
            self.at += 3;
        } else if self.peek(0) == "{" {
            self.at += 1;
            while self.peek(0) != "}" {
                self.item();
            }
            self.at += 1;
        } else if matches!(self.peek(0), "crate" | "super") && self.peek(1) == "::" {
            let inside = self.place.len();
            let mut left = if self.peek(0) == "crate" { 0 } else { inside };
            while self.is(&["super", "::"]) {
                left = left.saturating_sub(1);
                self.at += 2;
            }
            self.at += if self.is(&["crate", "::"]) { 2 } else { 0 };
            if left == 0 {
                self.rooms();
            }
        } else {
            self.at += 1;
        }
    }

    /// What follows `crate::`: a name, or several in braces.
    fn rooms(&mut self) {
        if self.peek(0) != "{" {
            self.used.insert(self.peek(0).to_owned());
            return;
        }
        let (mut depth, mut begins) = (0, true);
        loop {
            match self.peek(0) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => begins = true,
                name if begins && depth == 1 => {
                    self.used.insert(name.to_owned());
                    begins = false;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Past an item that is for tests: up to its `;`, or over its braces.
    fn skip_item(&mut self) {
        let mut depth = 0;
        loop {
            if depth == 0 && self.peek(0) == "mod" && self.peek(2) == ";" {
                self.modules.push((self.peek(1).to_owned(), true));
            }
            let token = self.peek(0).to_owned();
            self.at += 1;
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                ";" if depth == 0 => return,
                _ => continue,
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// The file of a module, and the folder of those inside it.
fn file_of(folder: &Path, module: &str) -> (PathBuf, PathBuf) {
    let inside = folder.join(module);
    let own = folder.join(format!("{module}.rs"));
    (if own.exists() { own } else { inside.join("mod.rs") }, inside)
}

/// What the files of a room use, each with its path.
fn used(folder: &Path, module: &str, place: &[String], found: &mut Vec<(PathBuf, Rooms)>) {
    let (file, inside) = file_of(folder, module);
    let mut place = place.to_vec();
    place.push(module.to_owned());
    let reader = Reader::of(&file, &place);
    found.push((file, reader.used));
    for (name, tests) in reader.modules {
        if !tests {
            used(&inside, &name, &place, found);
        }
    }
}

#[test]
fn every_room_uses_what_it_may() {
    let table = table();
    let source = root().join("src");
    let library = Reader::of(&source.join("lib.rs"), &[]);
    let modules: Rooms = library.modules.into_iter().map(|m| m.0).collect();
    let listed: Rooms = table.iter().map(|(room, _)| room.clone()).collect();
    assert_eq!(modules, listed, "lib.rs, and the table of rooms in docs/design.md");
    let mut wrong = BTreeMap::new();
    let mut files = 0;
    for (room, may) in &table {
        let mut found = Vec::new();
        used(&source, room, &[], &mut found);
        files += found.len();
        for (file, rooms) in found {
            let file = file.strip_prefix(root()).unwrap().to_owned();
            // What is no module is a name that lib.rs itself has.
            let strange = rooms.into_iter().filter(|r| modules.contains(r) && r != room);
            let strange: Rooms = strange.filter(|r| !may.contains(r)).collect();
            if !strange.is_empty() {
                wrong.insert(file, strange);
            }
        }
    }
    assert!(files > 250, "only {files} files were found");
    assert!(wrong.is_empty(), "these files use rooms that theirs may not use: {wrong:#?}");
}

/// The reader of this test sees what it should.
#[test]
fn uses_are_found_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.rs");
    let code = r##"
        //! [`crate::comment`]
        use crate::{one, two::{Two, crate_like}, three};
        use crate::four::Four; /* crate::comment */
        const A: &str = "crate::text"; const B: &str = r#"crate::"raw"#; const C: char = '"';
        fn f<'a>(x: &'a crate::five::Five) -> char { '\'' }
        mod inner { use super::super::six; use super::own; fn g() { crate::seven::h() } }
        use super::eight::Eight;
        #[cfg(test)] mod tests { use crate::tests_alone; }
        #[cfg(test)]
        mod more_tests;
        #[cfg(test)] use crate::tests_alone;
        mod part;
    "##;
    std::fs::write(&file, code).unwrap();
    let reader = Reader::of(&file, &["it".to_owned()]);
    let expected = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    assert_eq!(reader.used, expected.map(str::to_owned).into());
    assert_eq!(reader.modules, [("more_tests".to_owned(), true), ("part".to_owned(), false)]);
}
