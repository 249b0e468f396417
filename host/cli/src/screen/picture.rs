//! The lines at the bottom of a terminal that are drawn anew, and what is written to keep them there. Pure.

/// What stands on the screen below everything that was printed.
#[derive(Debug)]
pub(super) struct Picture {
    blocks: Vec<Vec<String>>,
    /// Lines at the start of a block that are always shown.
    head: usize,
    /// Lines that are on the screen now.
    drawn: usize,
    /// The last byte that was printed ended a line: a picture begins at the edge or not at all.
    pub(super) is_at_line_start: bool,
}

impl Default for Picture {
    fn default() -> Self {
        Self { blocks: Vec::new(), head: 0, drawn: 0, is_at_line_start: true }
    }
}

impl Picture {
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Bytes that put these blocks in the place of those before, on a terminal of so many columns and rows.
    pub(super) fn replace(
        &mut self,
        blocks: Vec<Vec<String>>,
        head: usize,
        size: (usize, usize),
    ) -> Vec<u8> {
        let mut bytes = self.erased();
        (self.blocks, self.head) = (blocks, head);
        if self.is_at_line_start {
            bytes.extend(self.draw(size));
        }
        bytes
    }

    /// The printed bytes with the picture out of their way.
    pub(super) fn around(&mut self, printed: &[u8], size: (usize, usize)) -> Vec<u8> {
        let mut bytes = self.erased();
        bytes.extend_from_slice(printed);
        // Behind the start of a line it waits for the line's end.
        if printed.ends_with(b"\n") {
            bytes.extend(self.draw(size));
        }
        bytes
    }

    /// Goes up to the picture's first line and clears the rest of the screen.
    fn erased(&mut self) -> Vec<u8> {
        match std::mem::take(&mut self.drawn) {
            0 => Vec::new(),
            lines => format!("\r\x1b[{lines}A\x1b[J").into_bytes(),
        }
    }

    /// As many lines as the screen has room for, each in one row of it.
    fn draw(&mut self, (columns, rows): (usize, usize)) -> Vec<u8> {
        // The row below the picture is the cursor's.
        let mut room = rows.saturating_sub(1);
        let mut shown = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            // What the ones before did not need is there for those behind.
            let share = room / (self.blocks.len() - at);
            let lines = shortened(block, self.head, share);
            room -= lines.len();
            shown.extend(lines);
        }
        self.drawn = shown.len();
        shown.iter().flat_map(|line| cut(line, columns)).collect()
    }
}

/// A block in so many lines: its head, how many are left out, and its end, which is what people wait for.
fn shortened(block: &[String], head: usize, room: usize) -> Vec<String> {
    if block.len() <= room {
        return block.to_vec();
    }
    let (first, rest) = block.split_at(head.min(block.len()));
    let Some(last_count) = room.checked_sub(head + 1).filter(|count| *count > 0) else {
        // Not even that: its end alone.
        return block[block.len() - room..].to_vec();
    };
    let left_out = rest.len() - last_count;
    let mut lines = first.to_vec();
    lines.push(format!("... {left_out} more\n"));
    lines.extend_from_slice(&rest[left_out..]);
    lines
}

/// A line that does not wrap. Sequences of colours take no room.
fn cut(line: &str, columns: usize) -> Vec<u8> {
    let mut kept = String::new();
    let (mut room, mut is_sequence) = (columns, false);
    for c in line.trim_end_matches('\n').chars() {
        match c {
            '\x1b' => is_sequence = true,
            _ if is_sequence => is_sequence = !c.is_ascii_alphabetic(),
            _ if room == 0 => continue,
            _ => room -= 1,
        }
        kept.push(c);
    }
    kept.push('\n');
    kept.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (10, 4);

    fn blocks(lines: &[&str]) -> Vec<Vec<String>> {
        vec![lines.iter().map(|line| format!("{line}\n")).collect()]
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_picture_takes_the_place_of_the_one_before() {
        let mut picture = Picture::default();
        assert_eq!(text(picture.replace(blocks(&["a", "b"]), 1, SIZE)), "a\nb\n");
        assert_eq!(text(picture.replace(blocks(&["c"]), 1, SIZE)), "\r\x1b[2A\x1b[Jc\n");
        assert_eq!(text(picture.around(b"said\n", SIZE)), "\r\x1b[1A\x1b[Jsaid\nc\n");
        assert_eq!(text(picture.replace(Vec::new(), 1, SIZE)), "\r\x1b[1A\x1b[J");
        assert!(picture.is_empty());
    }

    #[test]
    fn an_open_line_is_not_drawn_over() {
        let mut picture = Picture::default();
        picture.replace(blocks(&["a"]), 1, SIZE);
        assert_eq!(text(picture.around(b"half", SIZE)), "\r\x1b[1A\x1b[Jhalf");
        picture.is_at_line_start = false;
        assert_eq!(text(picture.replace(blocks(&["b"]), 1, SIZE)), "");
        assert_eq!(text(picture.around(b" whole\n", SIZE)), " whole\nb\n");
    }

    #[test]
    fn what_is_too_large_is_cut() {
        let mut picture = Picture::default();
        let high = blocks(&["H", "2", "3", "4", "5"]);
        assert_eq!(text(picture.replace(high.clone(), 1, SIZE)), "H\n... 3 more\n5\n");
        assert_eq!(text(picture.replace(high, 1, (20, 3))), "\r\x1b[3A\x1b[J4\n5\n");
        let mut picture = Picture::default();
        let wide = blocks(&["\x1b[1m12345678901\x1b[0m", "0123456789"]);
        let shown = text(picture.replace(wide, 1, SIZE));
        assert_eq!(shown, "\x1b[1m1234567890\x1b[0m\n0123456789\n");
    }

    #[test]
    fn blocks_share_the_room() {
        let mut picture = Picture::default();
        let two = [blocks(&["A", "a1", "a2", "a3", "a4"]), blocks(&["B", "b1"])].concat();
        let shown = text(picture.replace(two.clone(), 1, (20, 8)));
        assert_eq!(shown, "A\n... 3 more\na4\nB\nb1\n");
        for rows in 0..9 {
            let mut picture = Picture::default();
            let lines = text(picture.replace(two.clone(), 1, (20, rows))).lines().count();
            assert!(lines <= rows.saturating_sub(1), "{lines} lines in {rows} rows");
            assert_eq!(picture.drawn, lines);
        }
    }
}
