use std::io::{self, BufWriter, Write};

use vcd::{IdCode, SimulationCommand, TimescaleUnit, VarType, Writer};

use super::{HIGH, LOW, Recording, SignalKind, Value, text};

/// What the comment that tells of lost records begins with.
pub(super) const LOST: &str = "records lost: ";

impl Recording {
    /// Writes the recording as a VCD file: one scope for each motor, times in nanoseconds.
    ///
    /// Wires are `x` until their first edge; numbers and texts have no value until their first. In
    /// texts, bytes that are not visible ASCII are written `\xHH`. The same recording and comment
    /// give the same bytes. The writer is buffered here and flushed at the end.
    ///
    /// # Errors
    ///
    /// The writer failed; what it got is then no complete file.
    pub fn write_vcd<W: Write>(&self, w: W, comment: &str) -> io::Result<()> {
        let mut vcd = Writer::new(BufWriter::with_capacity(1 << 16, w));
        // The comment ends where `$end` stands, so it must not stand inside.
        vcd.comment(&comment.replace("$end", "$ end"))?;
        vcd.comment(&format!("{LOST}{}", self.lost()))?;
        vcd.timescale(1, TimescaleUnit::NS)?;
        self.declare(&mut vcd)?;
        vcd.enddefinitions()?;
        self.initial(&mut vcd)?;
        self.write_changes(&mut vcd)?;
        vcd.flush()
    }

    fn declare<W: Write>(&self, vcd: &mut Writer<W>) -> io::Result<()> {
        let signals = self.signals();
        let mut scopes: Vec<&str> = Vec::new();
        for signal in signals {
            if !scopes.contains(&signal.scope()) {
                scopes.push(signal.scope());
            }
        }
        for scope in scopes {
            vcd.add_module(scope)?;
            for signal in signals.iter().filter(|s| s.scope() == scope) {
                let (kind, size) = match signal.kind() {
                    SignalKind::Wire => (VarType::Wire, 1),
                    SignalKind::Real => (VarType::Real, 64),
                    SignalKind::Text => (VarType::String, 1),
                };
                vcd.var_def(kind, size, IdCode::from(signal.id().0), signal.name(), None)?;
            }
            vcd.upscope()?;
        }
        Ok(())
    }

    /// Time zero, and `x` for each wire that has no level there.
    fn initial<W: Write>(&self, vcd: &mut Writer<W>) -> io::Result<()> {
        vcd.timestamp(0)?;
        let records = &self.store.records;
        let mut known = vec![false; self.signals().len()];
        for record in records.iter().take_while(|r| r.at == 0) {
            known[record.signal as usize] = true;
        }
        vcd.begin(SimulationCommand::Dumpvars)?;
        for signal in self.signals() {
            if signal.kind() == SignalKind::Wire && !known[signal.id().index()] {
                vcd.change_scalar(IdCode::from(signal.id().0), vcd::Value::X)?;
            }
        }
        vcd.end()
    }

    fn write_changes<W: Write>(&self, vcd: &mut Writer<W>) -> io::Result<()> {
        let ids: Vec<String> =
            self.signals().iter().map(|s| IdCode::from(s.id().0).to_string()).collect();
        let out = vcd.writer();
        let mut word = String::new();
        let mut now = 0;
        for &record in &self.store.records {
            if record.at != now {
                now = record.at;
                writeln!(out, "#{now}")?;
            }
            let id = &ids[record.signal as usize];
            match self.store.value(record) {
                Value::Low => writeln!(out, "{LOW}{id}")?,
                Value::High => writeln!(out, "{HIGH}{id}")?,
                Value::Unknown => writeln!(out, "x{id}")?,
                // `{:?}` is the shortest form that reads back the same, with an exponent where the
                // number would get long.
                Value::Real(value) => writeln!(out, "r{value:?} {id}")?,
                Value::Text(value) => {
                    text::escape(&value, &mut word);
                    writeln!(out, "s{word} {id}")?;
                }
            }
        }
        if self.end > now {
            writeln!(out, "#{}", self.end)?;
        }
        Ok(())
    }
}
