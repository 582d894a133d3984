use std::io::BufRead;

use super::{Change, HIGH, LOW, Recording, Store, TraceError, UNKNOWN, Value, VcdReader};

/// A VCD file read into memory, 16 bytes a change.
///
/// Use a [`VcdReader`] where one pass over the changes is enough.
///
/// ```
/// use lockstep::trace::VcdFile;
/// use lockstep::units::Instant;
///
/// let text = "$timescale 1 ns $end
/// $scope module x $end
/// $var wire 1 ! step $end
/// $upscope $end
/// $enddefinitions $end
/// #2000
/// 1!
/// ";
/// let file = VcdFile::read(text.as_bytes())?;
/// let step = file.recording().find("x.step").unwrap();
/// let edges: Vec<_> = file.recording().edges(step).collect();
/// assert_eq!(edges, [(Instant::from_nanos(2_000), true)]);
/// # Ok::<(), lockstep::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct VcdFile {
    recording: Recording,
    comments: Vec<String>,
}

impl VcdFile {
    /// Reads a whole file.
    ///
    /// Changes that change nothing are left out, the `x` of a wire before its first level among
    /// them: what [`Recording::write_vcd`] wrote comes back as the recording that it was.
    ///
    /// # Errors
    ///
    /// [`TraceError`] with the line where the file ends to make sense.
    pub fn read(reader: impl BufRead) -> Result<VcdFile, TraceError> {
        let mut reader = VcdReader::new(reader)?;
        let mut store = Store::new(reader.signals().to_vec());
        let mut known = vec![false; store.signals.len()];
        while let Some(change) = reader.next().transpose()? {
            let Change { at, signal, value } = change;
            let at = at.as_nanos();
            let before = std::mem::replace(&mut known[signal.index()], value != Value::Unknown);
            let kept = match value {
                Value::Low => store.level(at, signal, LOW),
                Value::High => store.level(at, signal, HIGH),
                Value::Unknown => !before || store.level(at, signal, UNKNOWN),
                Value::Real(value) => store.real(at, signal, value),
                Value::Text(value) => store.text(at, signal, value),
            };
            if !kept {
                return Err(reader.wrong("more than 4,294,967,295 numbers or texts"));
            }
        }
        let (end, lost) = (reader.now(), reader.lost().unwrap_or(0));
        let recording = Recording::new(store, lost).until(end);
        Ok(VcdFile { recording, comments: reader.comments().to_vec() })
    }

    /// What the file holds.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The comments in the file.
    pub fn comments(&self) -> &[String] {
        &self.comments
    }
}
