//! Writes what was found of a servo into its config, and leaves the rest of the file as it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, InlineTable, Item, TableLike, Value};

use super::CliError;
use super::calibrate::Found;
use crate::config::Config;

/// Writes into the file, at once or not at all. What it was is kept beside it, with `.bak` added to its name, and
/// that is what is returned.
///
/// # Errors
///
/// The file can't be read or written, has no such servo, or would not be right any more: then it is as it was.
pub(super) fn write(path: &Path, servo: &str, found: Found) -> Result<PathBuf, CliError> {
    let wrong = |what: String| CliError::Usage(format!("{}: {what}", path.display()));
    // Not the link that leads to it.
    let path = fs::canonicalize(path).map_err(|e| wrong(e.to_string()))?;
    let text = fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
    let new = changed(&text, servo, found).map_err(wrong)?;
    let name = path.display().to_string();
    Config::from_str(&new, &name).map_err(CliError::Config)?;
    let beside = |suffix: &str| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let (draft, backup) = (beside(".new"), beside(".bak"));
    let written = || {
        fs::copy(&path, &backup)?;
        // With the permissions of the one that it replaces.
        fs::copy(&path, &draft)?;
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(&draft)?;
        file.write_all(new.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    written().map_err(|e| wrong(format!("it can't be written ({e})")))?;
    Ok(backup)
}

/// The text with the servo's `pulse`, `trim` and `reverse` as they were found, and nothing else changed.
fn changed(text: &str, servo: &str, found: Found) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|e| format!("{e}"))?;
    let table = document
        .get_mut("servo")
        .and_then(Item::as_table_like_mut)
        .and_then(|servos| servos.get_mut(servo))
        .ok_or_else(|| format!("it has no servo `{servo}`"))?;
    let inline = table.is_inline_table();
    let table = table.as_table_like_mut().ok_or_else(|| format!("it has no servo `{servo}`"))?;
    // The blank before a closing brace is that of the last value, whichever that will be.
    let end = if inline { move_end(table, "") } else { None };
    let us = |micros: u32| Value::from(format!("{micros}us"));
    if let Some(pulse) = table.get_mut("pulse").and_then(Item::as_table_like_mut) {
        set(pulse, "min", us(found.shortest));
        set(pulse, "max", us(found.longest));
    } else {
        let mut pulse = InlineTable::new();
        pulse.insert("min", us(found.shortest));
        pulse.insert("max", us(found.longest));
        table.insert("pulse", Item::Value(Value::InlineTable(pulse)));
    }
    // What it is without being said is not said.
    if found.trim != 0 || table.contains_key("trim") {
        set(table, "trim", Value::from(format!("{}us", found.trim)));
    }
    if found.reverse || table.contains_key("reverse") {
        set(table, "reverse", Value::from(found.reverse));
    }
    if let Some(end) = end {
        move_end(table, &end);
    }
    Ok(document.to_string())
}

/// Gives the last value of a table in braces another end, and returns the one that it had.
fn move_end(table: &mut dyn TableLike, end: &str) -> Option<String> {
    let (_, last) = table.iter_mut().last()?;
    let decor = last.as_value_mut()?.decor_mut();
    let before = decor.suffix().and_then(|suffix| suffix.as_str()).unwrap_or("").to_owned();
    decor.set_suffix(end);
    Some(before)
}

/// Sets a key's value. The blanks and the comment behind the old one stay.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FOUND: Found = Found { shortest: 750, longest: 2250, trim: -50, reverse: true };

    #[test]
    fn comments_and_layout_stay() {
        let before = "# the head\n\n[servo.tilt]  # up and down\npwm = { gpio = 19 }\n\n[servo.pan]\n\
            pwm   = { gpio = 18 }   # the left pin\n\
            pulse = { min = \"1000us\",   max = \"2000us\" }  # by the data sheet\n\
            reverse=false # for now\n# the end\n";
        let after = "# the head\n\n[servo.tilt]  # up and down\npwm = { gpio = 19 }\n\n[servo.pan]\n\
            pwm   = { gpio = 18 }   # the left pin\n\
            pulse = { min = \"750us\",   max = \"2250us\" }  # by the data sheet\n\
            reverse=true # for now\ntrim = \"-50us\"\n# the end\n";
        assert_eq!(changed(before, "pan", FOUND).unwrap(), after);
        // Twice is once.
        assert_eq!(changed(after, "pan", FOUND).unwrap(), after);
    }

    #[test]
    fn keys_are_added_however_the_table_is_written() {
        for (before, after) in [
            (
                "[servo.pan]\npwm = { gpio = 18 }\n",
                "[servo.pan]\npwm = { gpio = 18 }\npulse = { min = \"750us\", max = \"2250us\" }\ntrim = \"-50us\"\nreverse = true\n",
            ),
            (
                "[servo]\npan = { pwm = { gpio = 18 } }\n",
                "[servo]\npan = { pwm = { gpio = 18 }, pulse = { min = \"750us\", max = \"2250us\" }, trim = \"-50us\", reverse = true }\n",
            ),
            (
                "[servo.pan]\npwm = { gpio = 18 }\n[servo.pan.pulse]\nmin = \"900us\"\nmax = \"2000us\"\n",
                "[servo.pan]\npwm = { gpio = 18 }\ntrim = \"-50us\"\nreverse = true\n[servo.pan.pulse]\nmin = \"750us\"\nmax = \"2250us\"\n",
            ),
        ] {
            let new = changed(before, "pan", FOUND).unwrap();
            assert_eq!(new, after);
            Config::from_str(&new, "new").unwrap();
        }
        let plain = Found { trim: 0, reverse: false, ..FOUND };
        let new = changed("[servo.pan]\npwm = { gpio = 18 }\n", "pan", plain).unwrap();
        assert!(!new.contains("trim") && !new.contains("reverse"), "{new}");
        assert!(changed("[servo.pan]\n", "tilt", FOUND).is_err());
        assert!(changed("[servo.pan\n", "pan", FOUND).is_err());
    }

    #[test]
    fn the_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real.toml"), folder.path().join("link.toml"));
        let text = "[servo.pan]\npwm = { gpio = 18 } # left\n";
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let backup = write(&link, "pan", FOUND).unwrap();
        assert_eq!(fs::read_to_string(&backup).unwrap(), text);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        let new = fs::read_to_string(&file).unwrap();
        assert!(new.contains("\"2250us\"") && new.contains("# left"), "{new}");
        // One that would be wrong is not written.
        let bad = Found { longest: 2600, ..FOUND };
        assert!(write(&link, "pan", bad).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), new);
        assert!(!folder.path().join("real.toml.new").exists());
    }
}
