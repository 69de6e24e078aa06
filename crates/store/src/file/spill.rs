//! Sorts the names of a directory that do not fit into memory: in runs, written to disk, and merged.
//!
//! The runs go to a file that is unlinked right after its creation, so no end of the process leaves anything
//! behind. The memory does not grow with the number of names: one run while names come in, and a buffer for each of
//! at most [`FAN_IN`] runs while names go out.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rand::{TryRngCore as _, rngs::OsRng};

/// A name in a directory. A directory's name ends in `/`, so it sorts at its place among keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) Box<[u8]>);

impl Name {
    pub(super) fn is_directory(&self) -> bool {
        self.0.ends_with(b"/")
    }

    pub(super) fn bare(&self) -> &[u8] {
        self.0.strip_suffix(b"/").unwrap_or(&self.0)
    }
}

/// Runs per merge.
const FAN_IN: usize = 128;
/// Bytes in memory per run during a merge, and of the file while it is written.
const BUFFER: usize = 16 << 10;

/// The place of one run in the file.
#[derive(Debug, Clone, Copy)]
struct Run {
    at: u64,
    end: u64,
}

/// Takes names in any order.
pub(super) struct Sorter {
    file: File,
    end: u64,
    runs: Vec<Run>,
    held: Vec<Name>,
    held_max: usize,
    fan_in: usize,
}

/// Returns the names in ascending order.
pub(super) struct Sorted {
    file: File,
    runs: Vec<Reader>,
    /// The next name of each run that has one left.
    next: BinaryHeap<Reverse<(Name, usize)>>,
}

struct Reader {
    run: Run,
    buffer: Vec<u8>,
    used: usize,
}

impl Sorter {
    /// Sorts in a file of this directory, with at most `held_max` names in memory.
    pub(super) fn new(directory: &Path, held_max: usize) -> io::Result<Self> {
        Ok(Self {
            file: nameless(directory)?,
            end: 0,
            runs: Vec::new(),
            held: Vec::new(),
            held_max: held_max.max(1),
            fan_in: FAN_IN,
        })
    }

    /// Takes one more name.
    pub(super) fn push(&mut self, name: Name) -> io::Result<()> {
        self.held.push(name);
        if self.held.len() >= self.held_max { self.write_held() } else { Ok(()) }
    }

    /// All names, ascending.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.write_held()?;
        while self.runs.len() > self.fan_in {
            let some = self.runs.drain(..self.fan_in).collect();
            let mut merged = Sorted::new(self.file.try_clone()?, some)?;
            let mut run = RunWriter::new(&self.file, self.end);
            while let Some(name) = merged.next()? {
                run.write(&name)?;
            }
            self.note(run.finish()?);
        }
        Sorted::new(self.file, self.runs)
    }

    fn write_held(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.sort_unstable();
        let mut run = RunWriter::new(&self.file, self.end);
        for name in self.held.drain(..) {
            run.write(&name)?;
        }
        let run = run.finish()?;
        self.note(run);
        Ok(())
    }

    fn note(&mut self, run: Run) {
        self.end = run.end;
        self.runs.push(run);
    }
}

/// Writes names one after another: the length in two bytes, then the name.
struct RunWriter<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    fn new(file: &'a File, at: u64) -> Self {
        Self { file, at, end: at, buffer: Vec::with_capacity(BUFFER) }
    }

    fn write(&mut self, name: &Name) -> io::Result<()> {
        let length = u16::try_from(name.0.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&name.0);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.end)?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Run> {
        self.flush()?;
        Ok(Run { at: self.at, end: self.end })
    }
}

impl Sorted {
    fn new(file: File, runs: Vec<Run>) -> io::Result<Self> {
        let runs = runs.into_iter().map(|run| Reader { run, buffer: Vec::new(), used: 0 }).collect();
        let mut sorted = Self { file, runs, next: BinaryHeap::new() };
        for place in 0..sorted.runs.len() {
            sorted.load(place)?;
        }
        Ok(sorted)
    }

    /// The next name.
    pub(super) fn next(&mut self) -> io::Result<Option<Name>> {
        let Some(Reverse((name, place))) = self.next.pop() else { return Ok(None) };
        self.load(place)?;
        Ok(Some(name))
    }

    /// Adds the next name of a run to `next`.
    fn load(&mut self, place: usize) -> io::Result<()> {
        if let Some(name) = self.runs[place].next(&self.file)? {
            self.next.push(Reverse((name, place)));
        }
        Ok(())
    }
}

impl Reader {
    fn next(&mut self, file: &File) -> io::Result<Option<Name>> {
        if !self.has(2) {
            self.fill(file)?;
        }
        if self.used == self.buffer.len() {
            return Ok(None);
        }
        let length = self.buffer.get(self.used..self.used + 2).ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        if !self.has(2 + length) {
            self.fill(file)?;
        }
        let from = self.used + 2;
        let name = self.buffer.get(from..from + length).ok_or(io::ErrorKind::UnexpectedEof)?.into();
        self.used = from + length;
        Ok(Some(Name(name)))
    }

    fn has(&self, bytes: usize) -> bool {
        self.buffer.len() - self.used >= bytes
    }

    /// Reads on and keeps the unused rest.
    fn fill(&mut self, file: &File) -> io::Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let kept = self.buffer.len();
        let left = usize::try_from(self.run.end - self.run.at).unwrap_or(usize::MAX);
        let more = left.min(BUFFER);
        self.buffer.resize(kept + more, 0);
        file.read_exact_at(&mut self.buffer[kept..], self.run.at)?;
        self.run.at += more as u64;
        Ok(())
    }
}

/// A file that only this process can reach. It disappears when it is closed.
pub(super) fn nameless(directory: &Path) -> io::Result<File> {
    let mut bytes = [0; 16];
    OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    let path = directory.join(format!(".migrate-names-{}", hex::encode(bytes)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_order_however_many_runs_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let text = |n: u32| format!("{:0width$}", n.wrapping_mul(2_654_435_761), width = 1 + (n as usize % 250));
        for (count, held_max, fan_in) in [(0, 4, 2), (1, 4, 2), (1_000, 7, 2), (1_000, 7, 3), (20_000, 1_000, 128)] {
            let mut sorter = Sorter::new(directory.path(), held_max).unwrap();
            sorter.fan_in = fan_in;
            let mut expected = Vec::new();
            for n in 0..count {
                let name = Name(text(n).into_bytes().into());
                expected.push(name.clone());
                sorter.push(name).unwrap();
                assert!(sorter.held.len() < held_max, "what is held is bounded");
            }
            expected.sort();
            let mut merged = sorter.finish().unwrap();
            assert!(merged.runs.len() <= fan_in);
            let mut found = Vec::new();
            while let Some(name) = merged.next().unwrap() {
                found.push(name);
            }
            assert!(found == expected, "{count} names, {held_max} held, {fan_in} merged");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left, even before the end");
    }
}
