//! Consecutive frames in one buffer: what one write hands to a socket, and what is left when it takes only part.

use bytes::Bytes;
use sambad_core::{Event, Seq};

/// Frames of consecutive events of a reader. Sessions at the same place with the same filter share one.
#[derive(Debug)]
pub(super) struct Run {
    bytes: Bytes,
    /// Where each frame ends, and the event in it.
    ends: Vec<(usize, Seq)>,
}

/// A run of which the socket took a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The last event that was handed over, be it only its first byte; `None` if no byte was taken.
    pub(super) seq: Option<Seq>,
    /// The rest of that event's frame: nothing else may be written before it.
    pub(super) rest: Bytes,
    /// Events up to and including that one.
    pub(super) events: u64,
}

impl Run {
    /// Puts the frames of `events` together; one alone is shared as it is. `None` without events.
    pub(super) fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Self> {
        let mut events = events.into_iter().peekable();
        let first = events.next()?;
        if events.peek().is_none() {
            return Some(Self { bytes: first.frame().clone(), ends: vec![(first.frame().len(), first.seq)] });
        }
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for event in std::iter::once(first).chain(events) {
            bytes.extend_from_slice(event.frame());
            ends.push((bytes.len(), event.seq));
        }
        Some(Self { bytes: bytes.into(), ends })
    }

    /// How many events there are.
    pub(super) fn events(&self) -> u64 {
        self.ends.len() as u64
    }

    /// The last of the events; a run has at least one.
    pub(super) fn last(&self) -> Option<Seq> {
        self.ends.last().map(|(_, seq)| *seq)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Says where a reader stands after the first `written` bytes.
    ///
    /// The rest of a frame is copied, so that a socket that takes nothing for long holds one frame, not the whole run.
    pub(super) fn cut(&self, written: usize) -> Cut {
        let whole = self.ends.partition_point(|(end, _)| *end <= written);
        let boundary = whole.checked_sub(1).map(|last| self.ends[last]);
        let in_frame = written > boundary.map_or(0, |(end, _)| end);
        match self.ends.get(whole) {
            Some(&(end, seq)) if in_frame => {
                Cut { seq: Some(seq), rest: Bytes::copy_from_slice(&self.bytes[written..end]), events: whole as u64 + 1 }
            }
            _ => Cut { seq: boundary.map(|(_, seq)| seq), rest: Bytes::new(), events: whole as u64 },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run of frames of these lengths, whose bytes count up, with events from seq 11 on.
    pub(in crate::ws::shard) fn run(lengths: &[usize]) -> Run {
        let mut end = 0;
        let ends = lengths.iter().zip(11..).map(|(length, seq)| {
            end += length;
            (end, Seq(seq))
        });
        let ends = ends.collect();
        Run { bytes: (0..end).map(|byte| u8::try_from(byte % 251).unwrap()).collect(), ends }
    }

    /// Goal: at whatever byte a socket stops, the rest of the frame begun and the next event follow without a hole.
    /// Method: every offset of runs of one to three frames, against what is left byte by byte.
    #[test]
    fn every_offset_continues_without_a_hole() {
        for lengths in [vec![5], vec![3, 4], vec![2, 1, 6]] {
            let run = run(&lengths);
            for written in 0..=run.bytes.len() {
                let Cut { seq, rest, events } = run.cut(written);
                let next = seq.map_or(0, |seq| usize::try_from(seq.0).unwrap() - 10);
                assert_eq!(events, next as u64);
                let after_rest = if next == 0 { 0 } else { run.ends[next - 1].0 };
                assert_eq!(written + rest.len(), after_rest, "{lengths:?} cut at {written}");
                assert_eq!(&rest[..], &run.bytes[written..after_rest], "{lengths:?} cut at {written}");
            }
        }
    }
}
