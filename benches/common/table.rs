//! Tables of numbers.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// Prints rows under a header: text on the left in the first two columns and wherever `left` says, numbers on the right.
pub fn print(header: Vec<String>, rows: Vec<Vec<String>>, left: impl Fn(usize) -> bool) {
    let cells = |row: Vec<String>| {
        let align = |(column, text): (usize, String)| {
            let side = if column < 2 || left(column) {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            };
            Cell::new(text).set_alignment(side)
        };
        row.into_iter()
            .enumerate()
            .map(align)
            .collect::<Vec<Cell>>()
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(cells(header));
    for row in rows {
        table.add_row(cells(row));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}
